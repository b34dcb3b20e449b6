//! Middleware at each message of each stream.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::Result;
use kitex_thrift::Limits;
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

/// What every message of one client or server passes through: its layers, the first the nearest to the user, and the
/// limits of decoding. One pointer wide, since each end of each stream has it.
#[derive(Clone, Default)]
pub(crate) struct MessageSettings(Option<Arc<Settings>>);

#[derive(Clone, Default)]
struct Settings {
    layers: Vec<Arc<dyn MessageLayer>>,
    limits: Limits,
}

static DEFAULT_LIMITS: Limits = Limits::new();

impl MessageSettings {
    pub(crate) fn with_layer(self, layer: impl MessageLayer) -> Self {
        self.with(|settings| settings.layers.push(Arc::new(layer)))
    }

    pub(crate) fn with_limits(self, limits: Limits) -> Self {
        self.with(|settings| settings.limits = limits)
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.unwrap_or_default();
        change(Arc::make_mut(&mut settings));
        Self(Some(settings))
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.0.as_ref().map_or(&DEFAULT_LIMITS, |settings| &settings.limits)
    }

    pub(crate) fn has_layers(&self) -> bool {
        self.0.as_ref().is_some_and(|settings| !settings.layers.is_empty())
    }

    pub(crate) fn on_send(&self, stream: &SendStream, message: Bytes) -> Result<Bytes> {
        let Some(settings) = &self.0 else { return Ok(message) };
        settings.layers.iter().try_fold(message, |message, layer| layer.on_send(stream.info(), message))
    }

    pub(crate) fn on_recv(&self, stream: &RecvStream, message: Bytes) -> Result<Bytes> {
        let Some(settings) = &self.0 else { return Ok(message) };
        settings.layers.iter().rev().try_fold(message, |message, layer| layer.on_recv(stream.info(), message))
    }
}

impl fmt::Debug for MessageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.0.as_ref().map_or(0, |settings| settings.layers.len());
        f.debug_struct("MessageSettings").field("layers", &layers).field("limits", self.limits()).finish()
    }
}
