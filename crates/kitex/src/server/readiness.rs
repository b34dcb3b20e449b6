//! Whether the servers of a process take calls, for `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kerrors::Result;

use super::call::{Call, Response};
use super::service::Service;
use crate::Method;

/// Whether the servers that have it take calls: each is bound, and none has begun to shut down. Clones are the same. See
/// [`ServerBuilder::readiness`](super::ServerBuilder::readiness) and `inspect::InspectServer` (feature `inspect-http`).
///
/// Kubernetes needs it beside a [`drain_delay`](super::ServerBuilder::drain_delay): the pod is taken out of its
/// services as soon as it is not ready, and the delay gives it the time for that.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Servers that are built and not bound yet.
    unbound: AtomicUsize,
    draining: AtomicUsize,
}

impl Readiness {
    /// Returns the readiness of no server: it is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether every server is bound and none has begun to shut down.
    pub fn is_ready(&self) -> bool {
        self.0.unbound.load(Ordering::Acquire) == 0 && self.0.draining.load(Ordering::Acquire) == 0
    }

    /// Adds a server that is not bound yet.
    pub(super) fn expect(&self) {
        self.0.unbound.fetch_add(1, Ordering::AcqRel);
    }

    /// The server added before is bound.
    pub(super) fn bound(&self) {
        self.0.unbound.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Learns of the shutdown of one server.
#[derive(Debug)]
pub(super) struct Drain(pub(super) Readiness);

#[crate::async_trait]
impl Service for Drain {
    fn methods(&self) -> &[Method] {
        &[]
    }

    async fn call(&self, call: Call) -> Result<Response> {
        call.unknown_method().await
    }

    fn draining(&self) {
        self.0.0.draining.fetch_add(1, Ordering::AcqRel);
    }
}
