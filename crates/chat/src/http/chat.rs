//! `/chat`: a reply as an event stream, for the page and for curl.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kitex::{Error, Metadata};
use kitex_sse::{Event, LastEventId, Sse, ToEvents};
use serde_json::{Value, json};

use super::ask::{Ask, explained, since};
use super::shared::Shared;
use crate::api::Token;
use crate::next::FINISH;
use crate::options::ReplyOptions;
use crate::service::PASSAGES;

/// `POST /chat` with `{"prompt", "chat", "deadline_ms", "first_token_ms", "interval_ms", "length", "sources"}`, of which
/// only the prompt must be there.
pub(super) async fn by_json(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let number = |key: &str| body[key].as_u64();
    respond(shared, ask(body["prompt"].as_str(), body["chat"].as_str(), number)).await
}

/// `GET /chat?prompt=..`, for `EventSource` and curl, with the same words. A browser that reconnects is answered 204, so
/// that it does not ask again: its reply was canceled when it went away.
pub(super) async fn by_query(
    State(shared): State<Arc<Shared>>,
    last: LastEventId,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if last.0.is_some() {
        return StatusCode::NO_CONTENT.into_response();
    }
    let word = |key: &str| query.get(key).map(String::as_str);
    let number = |key: &str| word(key)?.parse().ok();
    respond(shared, ask(word("prompt"), word("chat"), number)).await
}

fn ask(prompt: Option<&str>, chat: Option<&str>, number: impl Fn(&str) -> Option<u64>) -> Ask {
    let millis = |key: &str| number(key).map(Duration::from_millis);
    Ask {
        prompt: prompt.unwrap_or_default().to_owned(),
        chat: Ask::id(chat, "http"),
        options: ReplyOptions {
            first_token: millis("first_token_ms"),
            interval: millis("interval_ms"),
            length: number("length"),
            limit: number("max_tokens"),
            sources: number("sources"),
        },
        deadline: millis("deadline_ms"),
    }
}

async fn respond(shared: Arc<Shared>, ask: Ask) -> Response {
    let ctx = ask.ctx(&shared);
    let (id, delivered) = (ask.chat.clone(), Arc::new(AtomicU64::new(0)));
    let expected = ask.options.length.unwrap_or_else(|| shared.usual.mean());
    let start = json!({"chat": id, "expected": expected});
    let events =
        Events { shared: shared.clone(), start, delivered: delivered.clone(), started: Instant::now() };
    let sse = Sse::new().keep_alive(shared.config.keep_alive).number(1).first_message_wait(FIRST_WAIT);
    let open = |ctx| ask.open(ctx, shared, delivered);
    let mut response = sse.respond(&ctx, open, events).await;
    // The id was checked when it was taken.
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-chat-id", id);
    }
    response.into_response()
}

/// Long enough that an agent that is not there sets the status, short enough that a slow model is a waiting page.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// `start`, a `token` each, and `done` or `error`.
struct Events {
    shared: Arc<Shared>,
    start: Value,
    delivered: Arc<AtomicU64>,
    started: Instant,
}

impl ToEvents<Token> for Events {
    fn start(&mut self) -> Vec<Event> {
        vec![Event::data(self.start.to_string()).name("start")]
    }

    fn message(&mut self, token: Token) -> Event {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        Event::data(json!({"text": &*token.text}).to_string()).name("token")
    }

    fn end(&mut self, trailer: Option<&Metadata>) -> Vec<Event> {
        let said = |key| trailer.and_then(|trailer| trailer.get_str(key));
        let passages: Vec<&str> = said(PASSAGES).unwrap_or_default().lines().collect();
        let done = json!({
            "tokens": self.delivered.load(Ordering::Relaxed),
            "finish": said(FINISH).unwrap_or("stop"),
            "passages": passages,
            "took_ms": since(self.started),
        });
        vec![Event::data(done.to_string()).name("done")]
    }

    fn error(&mut self, error: &Error) -> Vec<Event> {
        vec![Event::error(&explained(&self.shared, error))]
    }
}
