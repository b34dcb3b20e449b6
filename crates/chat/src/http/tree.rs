//! `/tree`: the cancellation tree of one client's chats and what each hop said at their ends, as an event stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use futures_util::stream;
use kitex_sse::{Event, Sse, SseBody};
use serde_json::{Map, Value, json};
use tokio::sync::{broadcast, watch};

use super::shared::Shared;
use crate::service::GATEWAY;

/// `GET /tree?client=ID`: `event: tree` with `{"chats": {id: tree}, "open": {..}, "crowd": {..}}` after each change, ten
/// times a second at most; `event: report` with what a service saw of a chat's end. Chats of the client are those whose
/// id begins with `ID.`.
pub(super) async fn watch(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let client = query.get("client").cloned().unwrap_or_default();
    Sse::events(SseBody::of_events(events(shared, client))).into_response()
}

struct View {
    changes: watch::Receiver<u64>,
    reports: broadcast::Receiver<Value>,
    stopped: kitex::Context,
    shared: Arc<Shared>,
    client: String,
    last: Value,
}

fn events(shared: Arc<Shared>, client: String) -> impl Stream<Item = Event> + Send {
    let mut changes = shared.followed.changes();
    changes.mark_changed();
    let (reports, stopped) = (shared.followed.reports(), shared.ctx.clone());
    let view = View { changes, reports, stopped, shared, client, last: Value::Null };
    stream::unfold(view, |mut view| async move { view.next().await.map(|event| (event, view)) })
}

impl View {
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                biased;
                _ = self.stopped.canceled() => return None,
                report = self.reports.recv() => match report {
                    Ok(report) if self.is_own(&report) => return Some(Event::data(report.to_string()).name("report")),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                changed = paused(&mut self.changes) => {
                    changed?;
                    let tree = self.tree();
                    if tree != self.last {
                        self.last = tree;
                        return Some(Event::data(self.last.to_string()).name("tree"));
                    }
                }
            }
        }
    }

    fn is_own(&self, report: &Value) -> bool {
        let id = report["chat"].as_str().unwrap_or_default();
        id.strip_prefix(&self.client).is_some_and(|rest| rest.starts_with('.'))
    }

    fn tree(&self) -> Value {
        let own: HashMap<String, String> = self.shared.opened.of(&self.client).into_iter().collect();
        let trees = self.shared.followed.joined().trees();
        let mut chats = Map::new();
        let mut open: HashMap<String, u64> = HashMap::new();
        for tree in trees.as_array().into_iter().flatten() {
            count(tree, &mut open);
            if tree["process"] == GATEWAY
                && let Some(chat) = tree["id"].as_str().and_then(|id| own.get(id))
            {
                chats.insert(chat.clone(), tree.clone());
            }
        }
        json!({"chats": chats, "open": open, "crowd": self.shared.crowd.to_json()})
    }
}

/// Ready after the next change, at least a pause after this call.
async fn paused(changes: &mut watch::Receiver<u64>) -> Option<()> {
    tokio::time::sleep(PAUSE).await;
    changes.changed().await.ok()
}

const PAUSE: Duration = Duration::from_millis(100);

/// Open handlers by service; of the gateway, chats.
fn count(tree: &Value, open: &mut HashMap<String, u64>) {
    let service = tree["process"].as_str().unwrap_or_default();
    if tree["side"] == "server" || service == GATEWAY {
        *open.entry(service.to_owned()).or_default() += 1;
    }
    for child in tree["children"].as_array().into_iter().flatten() {
        count(child, open);
    }
}
