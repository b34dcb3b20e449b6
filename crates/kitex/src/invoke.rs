//! The trait that middleware of a client implements and wraps.

use std::sync::Arc;

use bytes::Bytes;
use kerrors::Result;
use stream_core::stream::{RecvStream, SendStream};

use crate::client::options::CallOptions;
use crate::{Context, Method};

/// Makes calls: implemented by the client itself, and by each layer around it.
#[crate::async_trait]
pub trait Invoke: Send + Sync + 'static {
    /// Makes a ping-pong call with encoded arguments, and returns the encoded result.
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes>;

    /// Opens a stream.
    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream>;
}

/// A stream whose messages are bytes.
#[derive(Debug)]
pub struct RawStream {
    /// The sending half.
    pub sender: SendStream,
    /// The receiving half.
    pub receiver: RecvStream,
}

#[crate::async_trait]
impl Invoke for Arc<dyn Invoke> {
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes> {
        (**self).call(ctx, method, options, args).await
    }

    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        (**self).open(ctx, method, options).await
    }
}
