//! `POST /v1/chat/completions` as OpenAI has it, so that its client libraries and any chat page are users of the chain.
//! Owns the JSON of requests, chunks and whole answers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kitex::{Error, Metadata};
use kitex_sse::{Event, Sse, ToEvents, cancel_on_disconnect, error_json, status_of};
use serde_json::{Value, json};

use super::ask::{Ask, explained, now};
use super::shared::Shared;
use crate::api::Token;
use crate::model::LAST_TURN;
use crate::next::{AT_LIMIT, FINISH};
use crate::options::ReplyOptions;

/// The name of the chain as a model.
const MODEL: &str = "chat";

/// `GET /v1/models`: the chain is one model.
pub(super) async fn models() -> Json<Value> {
    Json(
        json!({"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "chat"}]}),
    )
}

/// Answers as an event stream if `stream` is true, else with one JSON object.
pub(super) async fn create(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let Some(prompt) = prompt(&body) else {
        let message = "messages must hold at least one turn of the role user, with text";
        let error = json!({"error": {"message": message, "type": "invalid_request_error", "code": null}});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let limit = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
    let options = ReplyOptions { limit, ..ReplyOptions::default() };
    let ask = Ask { prompt, chat: Ask::id(None, "openai"), options, deadline: None };
    let name = body["model"].as_str().unwrap_or(MODEL).to_owned();
    let answer = Answer { id: format!("chatcmpl-{}", ask.chat), created: now(), model: name, tokens: 0 };
    if body["stream"] == true {
        let usage = body["stream_options"]["include_usage"] == true;
        stream(shared, ask, answer, usage).await
    } else {
        whole(shared, ask, answer).await
    }
}

async fn stream(shared: Arc<Shared>, ask: Ask, answer: Answer, usage: bool) -> Response {
    let ctx = ask.ctx(&shared);
    let delivered = Arc::new(AtomicU64::new(0));
    let chunks = Chunks { shared: shared.clone(), answer, usage, delivered: delivered.clone() };
    let sse = Sse::new().keep_alive(shared.config.keep_alive);
    sse.respond(&ctx, |ctx| ask.open(ctx, shared, delivered), chunks).await.into_response()
}

/// Reads the whole reply first. A client that goes away meanwhile cancels the call as one that reads a stream does.
async fn whole(shared: Arc<Shared>, ask: Ask, mut answer: Answer) -> Response {
    let ctx = ask.ctx(&shared);
    let delivered = Arc::new(AtomicU64::new(0));
    let opening = shared.clone();
    let read = cancel_on_disconnect(&ctx, |ctx| async move {
        let mut stream = ask.open(ctx, opening, delivered).await?;
        let mut text = String::new();
        while let Some(token) = stream.recv().await? {
            text.push_str(&token.text);
            answer.tokens += 1;
        }
        Ok::<_, Error>((text, finish(stream.trailer().as_ref()), answer))
    });
    match read.await {
        Ok((text, finish, answer)) => {
            let message = json!({"role": "assistant", "content": text, "refusal": null});
            let choice = json!({"index": 0, "message": message, "finish_reason": finish, "logprobs": null});
            let mut body = answer.json("chat.completion", &json!([choice]));
            body["usage"] = answer.usage();
            Json(body).into_response()
        }
        Err(error) => {
            let error = explained(&shared, &error);
            (status_of(&error), Json(json!({"error": error_json(&error)}))).into_response()
        }
    }
}

/// What all chunks of an answer have in common.
struct Answer {
    id: String,
    created: u64,
    model: String,
    tokens: u64,
}

impl Answer {
    fn json(&self, object: &str, choices: &Value) -> Value {
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }

    /// The chain counts the tokens of its reply, not those of the question.
    fn usage(&self) -> Value {
        json!({"prompt_tokens": 0, "completion_tokens": self.tokens, "total_tokens": self.tokens})
    }
}

struct Chunks {
    shared: Arc<Shared>,
    answer: Answer,
    usage: bool,
    delivered: Arc<AtomicU64>,
}

impl Chunks {
    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Event {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish, "logprobs": null});
        Event::data(self.answer.json("chat.completion.chunk", &json!([choice])).to_string())
    }
}

impl ToEvents<Token> for Chunks {
    fn start(&mut self) -> Vec<Event> {
        vec![self.chunk(&json!({"role": "assistant", "content": ""}), None)]
    }

    fn message(&mut self, token: Token) -> Event {
        self.answer.tokens += 1;
        self.delivered.store(self.answer.tokens, std::sync::atomic::Ordering::Relaxed);
        self.chunk(&json!({"content": &*token.text}), None)
    }

    fn end(&mut self, trailer: Option<&Metadata>) -> Vec<Event> {
        let mut events = vec![self.chunk(&json!({}), Some(finish(trailer)))];
        if self.usage {
            let mut last = self.answer.json("chat.completion.chunk", &json!([]));
            last["usage"] = self.answer.usage();
            events.push(Event::data(last.to_string()));
        }
        events.push(Event::data("[DONE]"));
        events
    }

    /// OpenAI's clients look for `error` in an unnamed event.
    fn error(&mut self, error: &Error) -> Vec<Event> {
        let error = explained(&self.shared, error);
        vec![Event::data(json!({"error": error_json(&error)}).to_string())]
    }
}

fn finish(trailer: Option<&Metadata>) -> &'static str {
    let at_limit = trailer.is_some_and(|trailer| trailer.get_str(FINISH) == Some(AT_LIMIT));
    if at_limit { "length" } else { "stop" }
}

/// The last turn of the user; after earlier turns, all of them as a conversation.
fn prompt(body: &Value) -> Option<String> {
    let turns = body["messages"].as_array()?;
    let turns: Vec<(&str, String)> = turns
        .iter()
        .map(|turn| (turn["role"].as_str().unwrap_or_default(), text(&turn["content"])))
        .collect();
    let (role, last) = turns.last()?;
    if *role != "user" || last.trim().is_empty() {
        return None;
    }
    let earlier = turns.get(..turns.len().saturating_sub(1)).unwrap_or_default();
    if earlier.is_empty() {
        return Some(last.clone());
    }
    let earlier: Vec<String> = earlier.iter().map(|(role, text)| format!("{role}: {text}")).collect();
    Some(format!("{}{LAST_TURN}{last}", earlier.join("\n")))
}

/// Text as it is, or the text parts of a list.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::prompt;

    #[test]
    fn a_completions_prompt_is_the_last_turn_and_what_was_before() {
        let user = |content| json!({"role": "user", "content": content});
        for (messages, expected) in [
            (json!([user(json!("hi"))]), Some("hi")),
            (
                json!([user(json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]))]),
                Some("ab"),
            ),
            (
                json!([{"role": "system", "content": "be brief"}, user(json!("hi"))]),
                Some("system: be brief\nuser: hi"),
            ),
            (json!([user(json!(" "))]), None),
            (json!([{"role": "assistant", "content": "hi"}]), None),
            (json!([]), None),
            (json!(7), None),
        ] {
            assert_eq!(prompt(&json!({"messages": messages})).as_deref(), expected, "{messages}");
        }
    }
}
