//! What a server serves.

use std::sync::Arc;

use kerrors::Result;

use super::call::{Answer, Call};
use crate::Method;

/// A service that a server can call. Generated code implements it for a handler.
#[crate::async_trait]
pub trait Service: Send + Sync + 'static {
    /// Its methods; their numbers are their places here.
    fn methods(&self) -> &[Method];

    /// Serves one call of the method with this number.
    async fn call(&self, method: usize, call: Call) -> Result<Answer>;
}

/// Serves calls of methods that no service has; see [`ServerBuilder::fallback`](super::ServerBuilder::fallback).
#[crate::async_trait]
pub trait Fallback: Send + Sync + 'static {
    /// Serves one call.
    async fn call(&self, call: Call) -> Result<Answer>;
}

#[crate::async_trait]
impl Service for Arc<dyn Service> {
    fn methods(&self) -> &[Method] {
        (**self).methods()
    }

    async fn call(&self, method: usize, call: Call) -> Result<Answer> {
        (**self).call(method, call).await
    }
}
