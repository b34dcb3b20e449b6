//! What the response contains: head, events, comments, errors.

use std::time::Duration;

use http_body_util::BodyExt;
use kitex::{Context, Metadata};
use kitex_sse::{Event, Sse, ToEvents};

use crate::generated::echo::{Req, Resp};
use crate::{Lab, respond};

#[tokio::test(start_paused = true)]
async fn respond_gives_a_status_and_a_body() {
    let biz = r#"{"code":409,"kind":"business","message":"it failed","path":[],"side":null}"#;
    let early = format!(r#"{{"error":{biz}}}"#);
    let late = format!("event: error\ndata: {biz}\n\n");
    let minute = || Sse::new().keep_alive(Duration::from_secs(25));
    let rows: [(Sse, &str, u16, String); 9] = [
        (Sse::new(), "a b", 200, ":\n\ndata: a\n\ndata: b\n\n".into()),
        (Sse::new(), "fail", 409, early),
        (Sse::new(), "a fail", 200, format!(":\n\ndata: a\n\n{late}")),
        (minute().first_message_wait(Duration::ZERO), "sleep fail", 200, format!(":\n\n:\n\n:\n\n{late}")),
        (Sse::new().status(|_| http::StatusCode::GONE), "fail", 410, format!(r#"{{"error":{biz}}}"#)),
        (
            Sse::new().number(7).retry(Duration::from_secs(2)),
            "a b",
            200,
            "retry: 2000\n\nid: 7\ndata: a\n\nid: 8\ndata: b\n\n".into(),
        ),
        // The head comes after 10 s, a comment after 25 s and 50 s more.
        (minute(), "sleep a", 200, ":\n\n:\n\n:\n\ndata: a\n\n".into()),
        (minute(), "a sleep b", 200, ":\n\ndata: a\n\n:\n\n:\n\ndata: b\n\n".into()),
        (Sse::new().without_keep_alive(), "a sleep b", 200, ":\n\ndata: a\n\ndata: b\n\n".into()),
    ];
    for (sse, words, status, body) in rows {
        check(sse, words, status, &body).await;
    }
}

async fn check(sse: Sse, words: &str, status: u16, body: &str) {
    let lab = Lab::new();
    let response = lab.respond(sse, words).await;
    assert_eq!(response.status(), status, "{words}");
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let stream = status == 200;
    let kind = if stream { "text/event-stream" } else { "application/json" };
    assert_eq!(header("content-type").as_deref(), Some(kind));
    assert_eq!(header("x-accel-buffering").is_some(), stream);
    let read = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read, body, "{words}");
}

#[tokio::test(start_paused = true)]
async fn respond_without_a_server_is_503() {
    let client = kitex::testing::Network::new().client("speaker").build().expect("a client");
    let client = crate::generated::echo::MirrorClient::new(client);
    let response = respond(client, Sse::new(), "a".into()).await;
    assert_eq!(response.status(), 503);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(
        body.starts_with(
            br#"{"error":{"code":null,"kind":"connection","message":"cannot connect to speaker"#
        )
    );
}

/// Upper case, and what the trailer says.
struct Loud;

impl ToEvents<Resp> for Loud {
    fn start(&mut self) -> Vec<Event> {
        vec![Event::data("it begins").name("start")]
    }

    fn message(&mut self, message: Resp) -> Event {
        Event::data(message.msg.unwrap_or_default().to_uppercase()).name("loud")
    }

    fn end(&mut self, trailer: Option<&Metadata>) -> Vec<Event> {
        let finish = trailer.and_then(|trailer| trailer.get_str("finish")).unwrap_or("none");
        vec![Event::data(finish.to_owned()).name("finish"), Event::data("[DONE]")]
    }
}

#[tokio::test(start_paused = true)]
async fn to_events_adds_events_at_both_ends_and_sees_the_trailer() {
    let lab = Lab::new();
    let client = lab.client.clone();
    let request = Req { msg: Some("a".into()), ..Req::default() };
    let open = |ctx: Context| async move { client.down(&ctx, request).await };
    let response = Sse::new().respond(&Context::background(), open, Loud).await;
    let read = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        read,
        ":\n\nevent: start\ndata: it begins\n\nevent: loud\ndata: A\n\nevent: finish\ndata: stop\n\ndata: [DONE]\n\n"
    );
}
