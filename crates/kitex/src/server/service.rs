//! The traits that a server calls.

use std::sync::Arc;

use kerrors::Result;

use super::call::{Call, Response};
use crate::Method;

/// A service that a server can call. Generated code implements it for a handler.
#[crate::async_trait]
pub trait Service: Send + Sync + 'static {
    /// Returns its methods; [`Call::index`] is an index into them.
    fn methods(&self) -> &[Method];

    /// Serves one call.
    async fn call(&self, call: Call) -> Result<Response>;

    /// Called once when the server is to shut down, before it refuses anything; see
    /// [`ServerBuilder::drain_delay`](super::ServerBuilder::drain_delay). Layers around the service do not see it.
    fn draining(&self) {}
}

/// Serves calls of methods that no service has; see [`ServerBuilder::fallback`](super::ServerBuilder::fallback).
#[crate::async_trait]
pub trait Fallback: Send + Sync + 'static {
    /// Serves one call.
    async fn call(&self, call: Call) -> Result<Response>;
}

#[crate::async_trait]
impl Service for Arc<dyn Service> {
    fn methods(&self) -> &[Method] {
        (**self).methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        (**self).call(call).await
    }

    fn draining(&self) {
        (**self).draining();
    }
}
