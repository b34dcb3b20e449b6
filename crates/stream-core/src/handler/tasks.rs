//! Background work of handlers that graceful shutdown waits for.

use std::sync::Arc;

use tokio::sync::watch;

/// Tracks background work that graceful shutdown waits for, within its time limits. Clones share a server.
#[derive(Clone, Debug)]
pub struct TaskTracker(Arc<watch::Sender<()>>);

/// Makes graceful shutdown wait until it is dropped.
#[derive(Clone, Debug)]
#[must_use = "dropping it ends the wait"]
pub struct TaskToken {
    _receiver: watch::Receiver<()>,
}

impl Default for TaskTracker {
    fn default() -> Self {
        Self(Arc::new(watch::channel(()).0))
    }
}

impl TaskTracker {
    /// Returns a token for work that begins now.
    pub fn token(&self) -> TaskToken {
        TaskToken { _receiver: self.0.subscribe() }
    }

    /// Waits until every token is dropped.
    pub(crate) async fn idle(&self) {
        self.0.closed().await;
    }
}
