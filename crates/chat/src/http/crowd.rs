//! Other users: real HTTP clients of this gateway, each on a connection of its own, that read whole replies. Browsers
//! open six connections to an address at most, so a page cannot be a hundred users by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use reqwest::Client;
use serde_json::{Value, json};

use super::shared::{Crowd, Shared};
use crate::fetch::{client, each_event};

/// `POST /scene/crowd` with `{"users", "length", "interval_ms"}`: so many users begin to read, 200 at most at once.
pub(super) fn start(
    State(shared): State<Arc<Shared>>,
    Json(body): Json<Value>,
    own: SocketAddr,
) -> (StatusCode, Json<Value>) {
    if !shared.config.scene.is_on() {
        return (StatusCode::NOT_FOUND, Json(json!({"error": "there is no scene"})));
    }
    let busy = shared.crowd.reading.load(Ordering::Relaxed);
    let users = body["users"].as_u64().unwrap_or(99).min(MAX_USERS.saturating_sub(busy));
    let client = client();
    for _ in 0..users {
        shared.crowd.reading.fetch_add(1, Ordering::Relaxed);
        let (client, body, shared) = (client.clone(), body.clone(), shared.clone());
        tokio::spawn(async move {
            let complete = read(&client, own, &body, &shared.crowd).await;
            shared.crowd.reading.fetch_sub(1, Ordering::Relaxed);
            let ended = if complete { &shared.crowd.complete } else { &shared.crowd.failed };
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    (StatusCode::ACCEPTED, Json(json!({"users": users})))
}

/// Reads a reply; true if it came whole.
async fn read(client: &Client, gateway: SocketAddr, wishes: &Value, crowd: &Crowd) -> bool {
    let body = json!({
        "prompt": "why is the sky blue?",
        "length": wishes["length"],
        "interval_ms": wishes["interval_ms"],
    });
    let request = client.post(format!("http://{gateway}/chat"));
    let request = request.header("content-type", "application/json").body(body.to_string());
    let Ok(response) = request.send().await else { return false };
    let mut complete = false;
    each_event(response, |data| {
        let data: Value = serde_json::from_slice(data).unwrap_or_default();
        if data["text"].is_string() {
            crowd.tokens.fetch_add(1, Ordering::Relaxed);
        }
        complete |= data["finish"].is_string();
    })
    .await;
    complete
}

const MAX_USERS: u64 = 200;
