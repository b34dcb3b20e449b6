//! What all requests of the gateway share. Owns the state; what is done with it is in the file of each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kitex::{Canceler, Context};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use super::followed::Followed;
use super::opened::{Opened, Usual};
use crate::next::Next;
use crate::proto::Proto;
use crate::report::Reports;
use crate::telemetry::Telemetry;

/// What a gateway for browsers is made of.
#[derive(Debug)]
pub struct HttpConfig {
    /// Address of the agent.
    pub agent: String,
    /// The transport to the agent.
    pub proto: Proto,
    /// Names of services and the addresses of their status pages, for the tree.
    pub services: Vec<(String, String)>,
    /// What the model is, for the page.
    pub model: String,
    /// How often a stream without tokens has a comment; a client that vanished is noticed within twice this time.
    pub keep_alive: Duration,
    /// What the page's scenarios may do to the services.
    pub scene: Scene,
    /// Its metrics and traces.
    pub telemetry: Telemetry,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) agent: Next,
    /// Above every chat.
    pub(super) ctx: Context,
    pub(super) canceler: Canceler,
    /// Chats at once.
    pub(super) permits: Arc<Semaphore>,
    pub(super) opened: Opened,
    pub(super) reports: Reports,
    pub(super) followed: Followed,
    pub(super) crowd: Crowd,
    pub(super) config: HttpConfig,
    pub(super) usual: Usual,
}

/// The services that may be killed, by name. Empty where other processes have started them.
#[derive(Clone, Debug, Default)]
pub struct Scene(HashMap<String, Arc<Notify>>);

impl Scene {
    /// Adds a service; what is returned is notified when it is to be killed.
    pub fn add(&mut self, service: &str) -> Arc<Notify> {
        self.0.entry(service.to_owned()).or_default().clone()
    }

    /// Returns the notification that kills a service.
    pub(super) fn kill(&self, service: &str) -> Option<&Notify> {
        self.0.get(service).map(Arc::as_ref)
    }

    pub(super) fn is_on(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Counts of the users so far.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    pub(super) reading: AtomicU64,
    pub(super) complete: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) tokens: AtomicU64,
}

impl Crowd {
    pub(super) fn to_json(&self) -> Value {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "reading": count(&self.reading),
            "complete": count(&self.complete),
            "failed": count(&self.failed),
            "tokens": count(&self.tokens),
        })
    }
}
