//! What the page's scenarios may do to the services: kill one. Only where `chat` started the services itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::shared::Shared;
use crate::fetch::client;
use crate::service::GATEWAY;
use crate::status;

/// `GET /scene`: what the page needs to know of the gateway.
pub(super) async fn about(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let services: Vec<&String> = shared.config.services.iter().map(|(name, _)| name).collect();
    Json(json!({
        "model": shared.config.model,
        "services": services,
        "scene": shared.config.scene.is_on(),
        "keep_alive_ms": u64::try_from(shared.config.keep_alive.as_millis()).unwrap_or(u64::MAX),
    }))
}

/// `GET /scene/left`: streams and tasks of each service, or null where it does not answer.
pub(super) async fn left(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let client = client();
    let mut all = serde_json::Map::new();
    all.insert(GATEWAY.to_owned(), status::left());
    for (name, address) in &shared.config.services {
        let answer = async {
            let answer = client.get(format!("http://{address}/left")).send().await.ok()?;
            serde_json::from_slice(&answer.bytes().await.ok()?).ok()
        };
        all.insert(name.clone(), answer.await.unwrap_or_default());
    }
    Json(all.into())
}

/// `POST /scene/kill/{service}`: ends its process at once, as `kill -9` does. It is started again a second later. The
/// body must be JSON: a page of another origin cannot send that without asking first.
pub(super) async fn kill(
    State(shared): State<Arc<Shared>>,
    Path(service): Path<String>,
    Json(_): Json<Value>,
) -> StatusCode {
    match shared.config.scene.kill(&service) {
        Some(kill) => {
            kill.notify_one();
            StatusCode::ACCEPTED
        }
        None => StatusCode::NOT_FOUND,
    }
}
