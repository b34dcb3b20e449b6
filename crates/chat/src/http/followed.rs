//! What is known of all services: the joined tree, and what they say of replies.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kitex::inspect::Joined;
use serde_json::Value;
use tokio::sync::{broadcast, watch};

/// What is known of all services.
#[derive(Debug)]
pub(super) struct Followed {
    joined: Mutex<Joined>,
    changed: watch::Sender<u64>,
    reports: broadcast::Sender<Value>,
}

impl Default for Followed {
    fn default() -> Self {
        let (changed, reports) = (watch::Sender::new(0), broadcast::Sender::new(MAX_REPORTS));
        Self { joined: Mutex::default(), changed, reports }
    }
}

const MAX_REPORTS: usize = 1024;

impl Followed {
    pub(super) fn joined(&self) -> MutexGuard<'_, Joined> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready after each change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn reports(&self) -> broadcast::Receiver<Value> {
        self.reports.subscribe()
    }

    pub(super) fn apply(&self, service: &str, change: &Value) {
        self.joined().apply(service, change);
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }

    pub(super) fn publish(&self, report: Value) {
        // There may be no client.
        let _ = self.reports.send(report);
    }
}
