//! Middleware of three kinds, as Kitex has them: around a whole call or stream, at each message that is
//! sent, at each that is received. For clients and for servers.
//!
//! Around a whole call stands a [`tower_layer::Layer`]: it wraps a [`Caller`] at a client, a
//! [`Service`] at a server, and may do anything before, after, or instead. At each message
//! stands a [`MessageLayer`], which is a plain function, since it runs for every message. To only watch,
//! [`Observer`](crate::observe::Observer) is simpler.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::{Code, Error, Result, StreamError};
use stream_core::guard::guarded;
use stream_core::observe::StreamInfo;
use stream_core::stream::{RecvStream, SendStream};

use crate::client::CallOptions;
use crate::{Call, Context, Method, Service};

/// Makes calls: the client itself, or a layer around it.
#[crate::async_trait]
pub trait Caller: Send + Sync + 'static {
    /// Makes a ping-pong call with the encoded arguments; gives the encoded result.
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes>;

    /// Opens a stream.
    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream>;
}

/// A stream whose messages are bytes.
#[derive(Debug)]
pub struct RawStream {
    /// Sends.
    pub sender: SendStream,
    /// Receives.
    pub receiver: RecvStream,
}

#[crate::async_trait]
impl Caller for Arc<dyn Caller> {
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes> {
        (**self).call(ctx, method, options, args).await
    }

    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        (**self).open(ctx, method, options).await
    }
}

#[crate::async_trait]
impl Service for Arc<dyn Service> {
    fn methods(&self) -> &[Method] {
        (**self).methods()
    }

    async fn call(&self, method: usize, call: Call) -> Result<crate::Answer> {
        (**self).call(method, call).await
    }
}

/// Stands at each message of each stream. An error refuses the message: Send or Recv returns it, and the
/// stream goes on. A panic is an error too, with code 12001.
pub trait MessageLayer: Send + Sync + 'static {
    /// Passes a message on to be sent, as it is, changed, or not.
    ///
    /// # Errors
    /// What Send is to return.
    fn on_send(&self, _stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        Ok(message)
    }

    /// Passes a message on that was received, as it is, changed, or not.
    ///
    /// # Errors
    /// What Recv is to return.
    fn on_recv(&self, _stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        Ok(message)
    }
}

/// The message layers of one client or server, the first the nearest to the user. One pointer wide, since
/// each end of each stream has it.
#[derive(Clone, Default)]
pub(crate) struct MessageLayers(Option<Arc<Vec<Arc<dyn MessageLayer>>>>);

impl MessageLayers {
    pub(crate) fn with(&self, layer: impl MessageLayer) -> Self {
        let known = self.0.iter().flat_map(|layers| layers.iter()).cloned();
        let layers = known.chain([Arc::new(layer) as Arc<dyn MessageLayer>]).collect();
        Self(Some(Arc::new(layers)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn on_send(&self, stream: &SendStream, message: Bytes) -> Result<Bytes> {
        let Some(layers) = &self.0 else { return Ok(message) };
        layers.iter().try_fold(message, |message, layer| caught(|| layer.on_send(stream.info(), message)))
    }

    pub(crate) fn on_recv(&self, stream: &RecvStream, message: Bytes) -> Result<Bytes> {
        let Some(layers) = &self.0 else { return Ok(message) };
        layers
            .iter()
            .rev()
            .try_fold(message, |message, layer| caught(|| layer.on_recv(stream.info(), message)))
    }
}

/// Calls a layer: its panic is an error of the call that it stands around, as a handler's is.
fn caught<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    guarded(call).unwrap_or_else(|text| Err(panicked(&text)))
}

/// Returns the error of a call one of whose layers has panicked.
pub(crate) fn panicked(text: &str) -> Error {
    let cause = format!("panic: [happened in a layer] {text}");
    StreamError::new(Code::APPLICATION).with_cause(cause).into()
}

impl fmt::Debug for MessageLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageLayers({})", self.0.as_ref().map_or(0, |layers| layers.len()))
    }
}
