//! The chain with a model behind an OpenAI-compatible endpoint: cancels reach the endpoint, and its errors
//! reach the user.

use chat::model::{OpenAi, OpenAiConfig};
use chat::user::Outcome;
use kitex::Code;
use serde_json::json;

use crate::endpoint::{Endpoint, Exchange};
use crate::{Running, seen, within};

#[tokio::test]
async fn a_cancel_drops_the_request_to_the_endpoint() {
    let (mut chain, endpoint) = chain().await;
    let ((outcome, text), mut exchange) = tokio::join!(chain.ask(" hello ", Some(2)), async {
        let mut exchange = within(endpoint.accept()).await;
        exchange.begin().await;
        for text in ["Hi", " there"] {
            exchange.chunk(piece(text)).await;
        }
        // It would continue for as long as it is read.
        within(exchange.closed()).await;
        exchange
    });
    assert_eq!(exchange.body["messages"], json!([{ "role": "user", "content": "hello" }]));
    assert_eq!((outcome.report.tokens, &*text), (2, "Hi there"));
    for hop in chain.hops().await {
        assert_eq!(seen(&hop).0, Some(Code::CANCELED), "{hop:?}");
    }
    within(exchange.closed()).await;
}

#[tokio::test]
async fn a_cancel_drops_a_request_without_a_response() {
    let (mut chain, endpoint) = chain().await;
    let (asked, interrupt) = tokio::sync::oneshot::channel();
    let interrupt = async { interrupt.await.expect("asked") };
    let ((outcome, text), ()) = tokio::join!(chain.ask_until("hello", None, interrupt), async {
        let mut exchange = within(endpoint.accept()).await;
        asked.send(()).expect("a user who waits");
        within(exchange.closed()).await;
    });
    assert_eq!((seen(&outcome.report).0, &*text), (Some(Code::CANCELED), ""));
    let [.., model] = chain.hops().await;
    assert_eq!(seen(&model).2.as_deref(), Some("user -> gateway -> agent"));
}

#[tokio::test]
async fn an_endpoint_error_is_shown_to_the_user() {
    let (chain, endpoint) = chain().await;
    let ((outcome, text), _) = tokio::join!(chain.ask("hello", None), async {
        let mut exchange = within(endpoint.accept()).await;
        let body = r#"{"error":{"message":"the GPU is on fire"}}"#;
        let head = format!("HTTP/1.1 500 Internal Server Error\r\ncontent-length: {}\r\n\r\n", body.len());
        exchange.send(head + body).await;
        exchange
    });
    let line = format!(
        "{}/chat/completions answered HTTP 500 (the GPU is on fire): ask again later",
        endpoint.base_url()
    );
    assert_eq!((failure(&chain, &outcome), &*text), (line, ""));
}

#[tokio::test]
async fn a_lost_endpoint_connection_is_shown_to_the_user() {
    let (chain, endpoint) = chain().await;
    let ((outcome, text), ()) = tokio::join!(chain.ask("hello", None), async {
        let mut exchange = within(endpoint.accept()).await;
        exchange.begin().await;
        exchange.chunk(piece("Hi")).await;
    });
    let line = format!(
        "{}/chat/completions closed the connection before the end of the reply: ask again",
        endpoint.base_url()
    );
    assert_eq!((failure(&chain, &outcome), &*text), (line, "Hi"));
}

#[tokio::test]
async fn a_complete_reply_of_an_endpoint_arrives() {
    let (mut chain, endpoint) = chain().await;
    let ((outcome, text), _) =
        tokio::join!(chain.ask("hello", None), answer(&endpoint, &["Grüße", " 雪🌈", "!"]));
    assert!(outcome.report.ended.is_ok() && outcome.cancel.is_none());
    assert_eq!(text, "Grüße 雪🌈!");
    let [.., model] = chain.hops().await;
    assert_eq!((model.tokens, model.work.expect("the model's").bytes), (3, text.len()));
}

/// Responds to one request with a complete reply.
pub(crate) async fn answer(endpoint: &Endpoint, pieces: &[&str]) -> Exchange {
    let mut exchange = within(endpoint.accept()).await;
    exchange.begin().await;
    for text in pieces {
        exchange.chunk(piece(text)).await;
    }
    exchange.chunk("data: [DONE]\n\n").await;
    exchange.end().await;
    exchange
}

pub(crate) fn piece(text: &str) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
}

async fn chain() -> (Running, Endpoint) {
    let endpoint = Endpoint::bind().await;
    let model = OpenAi::new(OpenAiConfig::new(endpoint.base_url())).expect("a model");
    (Running::start(model).await, endpoint)
}

fn failure(chain: &Running, outcome: &Outcome) -> String {
    outcome.failure(&chain.gateway).expect("a failure")
}
