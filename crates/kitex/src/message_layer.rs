//! Middleware at each message of each stream.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::Result;
use stream_core::observe::StreamInfo;
use stream_core::stream::{RecvStream, SendStream};

/// Stands at each message of each stream. An error refuses the message: Send or Recv returns it, and the
/// stream goes on.
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
        layers.iter().try_fold(message, |message, layer| layer.on_send(stream.info(), message))
    }

    pub(crate) fn on_recv(&self, stream: &RecvStream, message: Bytes) -> Result<Bytes> {
        let Some(layers) = &self.0 else { return Ok(message) };
        layers.iter().rev().try_fold(message, |message, layer| layer.on_recv(stream.info(), message))
    }
}

impl fmt::Debug for MessageLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageLayers({})", self.0.as_ref().map_or(0, |layers| layers.len()))
    }
}
