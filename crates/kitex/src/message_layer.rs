//! Middleware at each message of each stream.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kerrors::{Code, Error, Result, StreamError};
use kitex_thrift::Limits;
use stream_core::guard::guarded;
use stream_core::observe::StreamInfo;
use stream_core::stream::{RecvStream, SendStream};

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
        settings
            .layers
            .iter()
            .try_fold(message, |message, layer| caught(|| layer.on_send(stream.info(), message)))
    }

    pub(crate) fn on_recv(&self, stream: &RecvStream, message: Bytes) -> Result<Bytes> {
        let Some(settings) = &self.0 else { return Ok(message) };
        settings
            .layers
            .iter()
            .rev()
            .try_fold(message, |message, layer| caught(|| layer.on_recv(stream.info(), message)))
    }
}

impl fmt::Debug for MessageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.0.as_ref().map_or(0, |settings| settings.layers.len());
        f.debug_struct("MessageSettings").field("layers", &layers).field("limits", self.limits()).finish()
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
