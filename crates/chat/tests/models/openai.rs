//! The requests to an endpoint, the handling of its responses, and when its connection closes.

use std::time::Duration;

use chat::model::{Model, ModelError, OpenAi, OpenAiConfig};
use futures_util::StreamExt;
use serde_json::json;
use tokio::runtime::Handle;

use crate::endpoint::{Endpoint, Exchange};
use crate::tokens_of;

#[tokio::test]
async fn the_request_carries_prompt_model_and_key() {
    for key in [None, Some("sk-1")] {
        let endpoint = Endpoint::bind().await;
        let mut config = OpenAiConfig::new(endpoint.base_url());
        config.api_key = key.map(str::to_owned);
        config.model = "some-model".into();
        let mut reply = OpenAi::new(config).expect("a model").reply("\"why\" is\nthe sky blue? 🌈");
        let (_, exchange) = both(reply.next(), async {
            let mut exchange = endpoint.accept().await;
            exchange.send("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await;
            exchange
        })
        .await;
        assert!(exchange.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", exchange.head);
        assert_eq!(exchange.header("authorization"), key.map(|_| "Bearer sk-1"));
        assert_eq!(exchange.header("content-type"), Some("application/json"));
        assert_eq!(exchange.header("accept"), Some("text/event-stream"));
        let messages = json!([{ "role": "user", "content": "\"why\" is\nthe sky blue? 🌈" }]);
        assert_eq!(exchange.body, json!({ "model": "some-model", "stream": true, "messages": messages }));
    }
}

/// A reply like that of real servers: comments, a role, empty pieces, both kinds of line end, characters of
/// two to four bytes, an event of two lines, a report of usage.
const BODY: &str = concat!(
    ": keep-alive\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"Grüße\"},\"finish_reason\":null}],\"error\":null}\r\n\r\n",
    ":\r\n",
    "event: delta\r\ndata:{\"choices\":[{\"delta\":{\"content\":\" 雪🌈\\n\"}}]}\r\n\r\n",
    "data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"!\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":null},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n",
    "data: [DONE]\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"after the end\"}}]}\n\n",
);

#[tokio::test]
async fn a_reply_is_the_same_wherever_its_chunks_end() {
    let (endpoint, model) = pair().await;
    let body = BODY.as_bytes();
    for at in 0..=body.len() {
        let tokens = both(tokens_of(model.reply("hello")), async {
            let mut exchange = endpoint.accept().await;
            exchange.begin().await;
            exchange.chunk(&body[..at]).await;
            exchange.chunk(&body[at..]).await;
            exchange.end().await;
            exchange
        })
        .await
        .0;
        assert_eq!(tokens, ["Grüße", " 雪🌈\n", "!"], "cut at {at}");
    }
}

#[tokio::test]
async fn a_reply_may_come_byte_by_byte() {
    let (endpoint, model) = pair().await;
    let answer = async {
        let mut exchange = endpoint.accept().await;
        exchange.begin().await;
        for byte in BODY.as_bytes() {
            exchange.chunk([*byte]).await;
        }
        exchange.end().await;
        exchange
    };
    assert_eq!(both(tokens_of(model.reply("hello")), answer).await.0.concat(), "Grüße 雪🌈\n!");
}

#[tokio::test]
async fn a_token_arrives_before_the_next_is_made() {
    let (endpoint, model) = pair().await;
    let mut reply = model.reply("hello");
    let (first, mut exchange) = both(reply.next(), async {
        let mut exchange = endpoint.accept().await;
        exchange.begin().await;
        exchange.chunk(piece("0")).await;
        exchange
    })
    .await;
    assert_eq!(first, Some(Ok("0".to_owned())));
    for number in 1..20 {
        exchange.chunk(piece(&number.to_string())).await;
        assert_eq!(within(reply.next()).await, Some(Ok(number.to_string())));
    }
    exchange.chunk("data: [DONE]\n\n").await;
    assert_eq!(within(reply.next()).await, None);
}

#[tokio::test]
async fn a_reply_is_complete_only_if_the_endpoint_said_so() {
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
    let rows: &[(&str, bool)] = &[
        ("data: [DONE]\n\n", true),
        ("data:[DONE]\r\n\r\n", true),
        ("data: [DONE]\n", true),
        ("data: [DONE]", true),
        (finish, true),
        ("", false),
        (": done\n\n", false),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"lost\"}", false),
        ("data: [DON", false),
    ];
    for (rest, clean) in rows {
        let body = format!("{}{rest}", piece("Hi"));
        let (endpoint, model) = pair().await;
        let (items, _) = both(model.reply("hello").collect::<Vec<_>>(), answer_body(&endpoint, &body)).await;
        let mut expected = vec![Ok("Hi".to_owned())];
        if !clean {
            expected.push(Err(ModelError::Cut { url: url(&endpoint) }));
        }
        assert_eq!(items, expected, "{rest:?}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_not_a_clean_end() {
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    for half in [piece("Hi"), format!("{}{finish}", piece("Hi"))] {
        let (endpoint, model) = pair().await;
        let (items, ()) = both(model.reply("hello").collect::<Vec<_>>(), async {
            let mut exchange = endpoint.accept().await;
            exchange.begin().await;
            exchange.chunk(&half).await;
        })
        .await;
        assert_eq!(items, [Ok("Hi".to_owned()), Err(ModelError::Cut { url: url(&endpoint) })]);
    }
}

#[tokio::test]
async fn an_invalid_event_ends_the_reply_with_an_error() {
    let rows: &[(&str, &str)] = &[
        (
            r#"{"error":{"message":"server overloaded","type":"x"}}"#,
            "the model ended its reply with an error (server overloaded): ask again, or check OPENAI_MODEL",
        ),
        (
            r#"{"choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":"a\nforged\u001b[31mline"}"#,
            "the model ended its reply with an error (a forged [31mline): ask again, or check OPENAI_MODEL",
        ),
        (
            r#"{"error":{"code":7}}"#,
            "the model ended its reply with an error (it gave no message): ask again, or check OPENAI_MODEL",
        ),
        (
            r#"{"detail":"no such model"}"#,
            "the model ended its reply with an error (no such model): ask again, or check OPENAI_MODEL",
        ),
        ("{}", "<url> sent an event that is no chat completion (it has no choices): check OPENAI_BASE_URL"),
        (
            "hello",
            "<url> sent an event that is no chat completion (expected value at line 1 column 1): check OPENAI_BASE_URL",
        ),
    ];
    for (event, text) in rows {
        let (endpoint, model) = pair().await;
        let body = format!("{}data: {event}\n\n{}data: [DONE]\n\n", piece("Hi"), piece("never"));
        let (items, _) = both(model.reply("hello").collect::<Vec<_>>(), answer_body(&endpoint, &body)).await;
        let texts: Vec<_> = items.into_iter().map(|item| item.map_err(|error| error.to_string())).collect();
        assert_eq!(texts, [Ok("Hi".to_owned()), Err(text.replace("<url>", &url(&endpoint)))]);
    }
}

#[tokio::test]
async fn an_oversize_event_is_refused() {
    let (endpoint, model) = pair().await;
    let (items, _) = both(model.reply("hello").collect::<Vec<_>>(), async {
        let mut exchange = endpoint.accept().await;
        exchange.begin().await;
        exchange.chunk("data: ").await;
        exchange.flood(16 * 1024 * 1024).await;
        exchange
    })
    .await;
    assert_eq!(items, [Err(ModelError::EventTooLarge { url: url(&endpoint) })]);
}

#[tokio::test]
async fn a_response_without_a_stream_is_an_error_with_advice() {
    let rows: &[(&str, &str, &str)] = &[
        (
            "401 Unauthorized",
            r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#,
            "<url> answered HTTP 401 (Incorrect API key provided): set OPENAI_API_KEY",
        ),
        (
            "403 Forbidden",
            "",
            "<url> answered HTTP 403 (Forbidden): check OPENAI_API_KEY and what it is allowed to use",
        ),
        (
            "404 Not Found",
            "<html>\nno such page</html>",
            "<url> answered HTTP 404 (Not Found): check OPENAI_BASE_URL, which usually ends in /v1, and OPENAI_MODEL",
        ),
        (
            "400 Bad Request",
            r#"{"error":"model 'x' not found\r\n"}"#,
            "<url> answered HTTP 400 (model 'x' not found): check OPENAI_MODEL",
        ),
        (
            "429 Too Many Requests",
            r#"{"message":"slow down"}"#,
            "<url> answered HTTP 429 (slow down): ask again later",
        ),
        ("503 Busy", "{\"error\":", "<url> answered HTTP 503 (Service Unavailable): ask again later"),
        ("599 Odd", "[]", "<url> answered HTTP 599 (no reason given): ask again later"),
        (
            "301 Moved\r\nlocation: http://127.0.0.1:1/",
            "",
            "<url> answered HTTP 301 (Moved Permanently): check OPENAI_BASE_URL",
        ),
        ("204 No Content", "", "<url> answered HTTP 204 (No Content): check OPENAI_BASE_URL"),
        (
            "200 OK\r\ncontent-type: text/html; charset=utf-8",
            "<html></html>",
            "<url> answered with text/html instead of a stream: check OPENAI_BASE_URL",
        ),
        (
            "200 OK\r\ncontent-type: application/json",
            r#"{"choices":[{"message":{"content":"Hi"}}]}"#,
            "<url> answered with application/json instead of a stream: check OPENAI_BASE_URL",
        ),
        (
            "200 OK\r\ncontent-type: application/json",
            r#"{"error":{"message":"no credit"}}"#,
            "the model ended its reply with an error (no credit): ask again, or check OPENAI_MODEL",
        ),
    ];
    for (status, body, text) in rows {
        let (endpoint, model) = pair().await;
        let (items, _) = both(model.reply("hello").collect::<Vec<_>>(), async {
            let mut exchange = endpoint.accept().await;
            exchange.send(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
            exchange
        })
        .await;
        let texts: Vec<_> = items.into_iter().map(|item| item.map_err(|error| error.to_string())).collect();
        assert_eq!(texts, [Err(text.replace("<url>", &url(&endpoint)))]);
    }
}

#[tokio::test]
async fn a_long_error_message_is_truncated() {
    let (endpoint, model) = pair().await;
    let (items, _) = both(model.reply("hello").collect::<Vec<_>>(), async {
        let mut exchange = endpoint.accept().await;
        let body = json!({ "error": { "message": "no ".repeat(10_000) } }).to_string();
        exchange.send(format!("HTTP/1.1 500 No\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        exchange
    })
    .await;
    let text = items[0].as_ref().expect_err("an error").to_string();
    assert!(text.contains("no no no …)") && text.len() < 500, "{text}");
}

#[tokio::test]
async fn an_unreachable_endpoint_is_named() {
    // Nothing listens on the first port.
    let model = OpenAi::new(OpenAiConfig::new("http://127.0.0.1:1/v1")).expect("a model");
    let items: Vec<_> = within(model.reply("hello").collect()).await;
    let [Err(error)] = items.as_slice() else { panic!("{items:?}") };
    let text = error.to_string();
    // The system's error text is in the brackets.
    assert!(
        text.starts_with("cannot reach http://127.0.0.1:1/v1/chat/completions (Connection refused"),
        "{text}"
    );
    assert!(text.ends_with("): check OPENAI_BASE_URL, and that the endpoint is running"), "{text}");
}

#[tokio::test]
async fn an_endpoint_that_closes_before_its_response_is_named() {
    let (endpoint, model) = pair().await;
    let (items, ()) = both(model.reply("hello").collect::<Vec<_>>(), async {
        endpoint.accept().await;
    })
    .await;
    assert!(matches!(items.as_slice(), [Err(ModelError::Unreachable { .. })]), "{items:?}");
}

#[tokio::test]
async fn a_silent_endpoint_times_out() {
    for begins in [false, true] {
        let endpoint = Endpoint::bind().await;
        let mut config = OpenAiConfig::new(endpoint.base_url());
        config.max_silence = Duration::from_millis(50);
        let model = OpenAi::new(config).expect("a model");
        let (items, mut exchange) = both(model.reply("hello").collect::<Vec<_>>(), async {
            let mut exchange = endpoint.accept().await;
            if begins {
                exchange.begin().await;
            }
            exchange
        })
        .await;
        let silence = Duration::from_millis(50);
        assert_eq!(items, [Err(ModelError::Silent { url: url(&endpoint), silence })], "begins: {begins}");
        within(exchange.closed()).await;
    }
}

#[tokio::test]
async fn dropping_a_reply_closes_its_connection() {
    for tokens in [1, 5] {
        let (endpoint, model) = pair().await;
        let mut reply = model.reply("hello");
        let (read, mut exchange) = both(reply.by_ref().take(tokens).collect::<Vec<_>>(), async {
            let mut exchange = endpoint.accept().await;
            exchange.begin().await;
            for _ in 0..tokens {
                exchange.chunk(piece("Hi")).await;
            }
            exchange
        })
        .await;
        assert_eq!(read.len(), tokens);
        drop(reply);
        within(exchange.closed()).await;
        nothing_left().await;
    }
}

#[tokio::test]
async fn dropping_a_pending_reply_closes_its_connection() {
    for begins in [false, true] {
        let (endpoint, model) = pair().await;
        let mut reply = model.reply("hello");
        let mut exchange = tokio::select! {
            item = reply.next() => panic!("nothing was sent, but {item:?} came"),
            exchange = async {
                let mut exchange = endpoint.accept().await;
                if begins {
                    exchange.begin().await;
                }
                exchange
            } => exchange,
        };
        drop(reply);
        within(exchange.closed()).await;
        nothing_left().await;
    }
}

/// Returns an endpoint and a model that uses it.
async fn pair() -> (Endpoint, OpenAi) {
    let endpoint = Endpoint::bind().await;
    let model = OpenAi::new(OpenAiConfig::new(endpoint.base_url())).expect("a model");
    (endpoint, model)
}

fn url(endpoint: &Endpoint) -> String {
    format!("{}/chat/completions", endpoint.base_url())
}

fn piece(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

/// Responds to one request with a stream whose body is `body`. The connection stays open.
async fn answer_body(endpoint: &Endpoint, body: &str) -> Exchange {
    let mut exchange = endpoint.accept().await;
    exchange.begin().await;
    exchange.chunk(body).await;
    exchange.end().await;
    exchange
}

/// Runs the model's side and the endpoint's side to completion.
async fn both<A, B>(model: impl Future<Output = A>, endpoint: impl Future<Output = B>) -> (A, B) {
    within(async { tokio::join!(model, endpoint) }).await
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(MINUTE, work).await.expect("done within a minute")
}

/// Waits until all tasks started by a reply have ended.
async fn nothing_left() {
    within(async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

const MINUTE: Duration = Duration::from_secs(60);
