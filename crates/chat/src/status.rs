//! What a service says of itself over HTTP: its open streams and cancels as they change, and what it saw of each reply.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use futures_core::Stream;
use futures_util::stream;
use kitex::inspect::{Changes, to_json};
use kitex_sse::{Event, Sse, SseBody};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

use crate::line;
use crate::report::Reports;
use crate::telemetry::Telemetry;

/// Answers HTTP requests to `listener` until the future is dropped. With `telemetry` its metrics are `/metrics`.
///
/// # Errors
/// None so far: a connection that fails is closed.
pub async fn serve(listener: TcpListener, reports: Reports, telemetry: Option<Telemetry>) -> io::Result<()> {
    axum::serve(listener, router(&reports, telemetry)).await
}

/// `/streams/watch`: changes of the open streams. `/reports`: a line a reply. `/metrics`: for Prometheus.
/// `/left`: the number of streams and tasks. `/healthz`: `ok`. Any other path: the open
/// streams and the last cancels, as JSON.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(
    reports: &Reports,
    telemetry: Option<Telemetry>,
) -> Router<S> {
    let reports = reports.clone();
    let router = match telemetry {
        Some(telemetry) => Router::new().route("/metrics", get(async move || metrics(&telemetry))),
        None => Router::new(),
    };
    router
        .route("/streams/watch", get(async || Sse::events(SseBody::of_events(changes()))))
        .route(
            "/reports",
            get(move || {
                let reports = reports.clone();
                async move { Sse::events(SseBody::of_events(lines(&reports))) }
            }),
        )
        .route("/left", get(async || axum::Json(left())))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || Ok::<_, Infallible>(streams()))
}

/// What is open here: streams, and tasks of the runtime.
pub(crate) fn left() -> Value {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    json!({"streams": kitex::observe::streams().len(), "tasks": tasks})
}

fn metrics(telemetry: &Telemetry) -> impl IntoResponse + use<> {
    ([("content-type", kitex_metrics::CONTENT_TYPE)], telemetry.text())
}

pub(crate) fn streams() -> impl IntoResponse {
    ([("content-type", "application/json")], to_json().to_string())
}

/// Changes of the streams of this process, looked for while a client follows.
fn changes() -> impl Stream<Item = Event> + Send {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((ticks, Changes::new()), |(mut ticks, mut changes)| async move {
        loop {
            ticks.tick().await;
            if let Some(change) = changes.take() {
                return Some((Event::data(change.to_string()), (ticks, changes)));
            }
        }
    })
}

fn lines(reports: &Reports) -> impl Stream<Item = Event> + Send + use<> {
    stream::unfold(reports.follow(), |mut reports| async move {
        loop {
            match reports.recv().await {
                Ok(report) => return Some((Event::data(line::json(&report).to_string()), reports)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

/// Between two looks at the streams.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
