//! Middleware for each message of each stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use kerrors::{Code, Error, Result, StreamError};
use kitex_thrift::Limits;
use stream_core::guard::{guarded, guarded_future};
use stream_core::observe::StreamInfo;
use stream_core::stream::RecvStream;

/// Handles each message of each stream, as bytes. It may wait, for example for a permit. An error refuses the message:
/// Send or Recv returns it, and the stream continues. A panic is an error too, with code 12001.
///
/// While it waits, Send or Recv waits; that time does not count towards a Send or Recv timeout. A Send that is dropped
/// meanwhile sends nothing. A Recv that is dropped meanwhile loses nothing: the next Recv continues.
///
/// ```
/// use kitex::bytes::Bytes;
/// use kitex::middleware::MessageLayer;
/// use kitex::observe::StreamInfo;
/// use kitex::{Error, Result};
/// use tokio::sync::Semaphore;
///
/// /// Lets a number of messages pass, then waits for more permits.
/// struct Quota(Semaphore);
///
/// #[kitex::async_trait]
/// impl MessageLayer for Quota {
///     async fn on_send(&self, _: &StreamInfo, message: Bytes) -> Result<Bytes> {
///         self.0.acquire().await.map_err(Error::other)?.forget();
///         Ok(message)
///     }
/// }
/// ```
#[crate::async_trait]
pub trait MessageLayer: Send + Sync + 'static {
    /// Returns the message to send, unchanged or changed, or refuses it.
    ///
    /// # Errors
    /// The error that Send returns.
    async fn on_send(&self, _stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        Ok(message)
    }

    /// Returns the received message, unchanged or changed, or refuses it.
    ///
    /// # Errors
    /// The error that Recv returns.
    async fn on_recv(&self, _stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        Ok(message)
    }
}

/// The processing of messages of one client or server: its layers, the first one nearest to the user, and the limits of
/// decoding. One pointer in size, because each end of each stream has one.
#[derive(Clone, Default)]
pub(crate) struct MessageSettings(Option<Arc<Settings>>);

#[derive(Default)]
struct Settings {
    layers: Layers,
    limits: Limits,
    /// A received message that the layers have not yet returned. Set only in the settings of one receiver.
    pending: Mutex<Option<Layered>>,
}

/// Layers of one client or server.
type Layers = Arc<Vec<Arc<dyn MessageLayer>>>;

/// A message that is processed by layers.
pub(crate) type Layered = Pin<Box<dyn Future<Output = Result<Bytes>> + Send>>;

static DEFAULT_LIMITS: Limits = Limits::new();

impl MessageSettings {
    pub(crate) fn with_layer(self, layer: impl MessageLayer) -> Self {
        let (mut layers, limits) = (self.layers().cloned().unwrap_or_default(), *self.limits());
        Arc::make_mut(&mut layers).push(Arc::new(layer));
        Self::new(layers, limits)
    }

    pub(crate) fn with_limits(self, limits: Limits) -> Self {
        Self::new(self.layers().cloned().unwrap_or_default(), limits)
    }

    fn new(layers: Layers, limits: Limits) -> Self {
        Self(Some(Arc::new(Settings { layers, limits, pending: Mutex::default() })))
    }

    /// Returns the settings of one receiver, which keep a message that its layers have not yet returned.
    pub(crate) fn of_receiver(self) -> Self {
        match &self.0 {
            Some(settings) if self.has_layers() => Self::new(settings.layers.clone(), settings.limits),
            _ => self,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.0.as_ref().map_or(&DEFAULT_LIMITS, |settings| &settings.limits)
    }

    pub(crate) fn has_layers(&self) -> bool {
        self.layers().is_some_and(|layers| !layers.is_empty())
    }

    fn layers(&self) -> Option<&Layers> {
        self.0.as_ref().map(|settings| &settings.layers)
    }

    /// Processes a message to be sent. Not called without layers.
    pub(crate) fn on_send(&self, stream: Arc<StreamInfo>, message: Bytes) -> Layered {
        let layers = self.layers().cloned().unwrap_or_default();
        Box::pin(async move {
            let mut message = message;
            for layer in layers.iter() {
                message = caught(|| layer.on_send(&stream, message)).await?;
            }
            Ok(message)
        })
    }

    /// Starts processing a received message. Not called without layers.
    pub(crate) fn start_recv(&self, stream: &RecvStream, message: Bytes) {
        let (layers, stream) = (self.layers().cloned().unwrap_or_default(), stream.shared_info());
        self.put_pending(Box::pin(async move {
            let mut message = message;
            for layer in layers.iter().rev() {
                message = caught(|| layer.on_recv(&stream, message)).await?;
            }
            Ok(message)
        }));
    }

    /// Returns the message whose processing was started, once the layers have returned it; `None` if there is none.
    pub(crate) fn poll_recv(&self, cx: &mut TaskContext<'_>) -> Option<Poll<Result<Bytes>>> {
        if !self.has_layers() {
            return None;
        }
        let mut pending = self.take_pending()?;
        let polled = pending.as_mut().poll(cx);
        if polled.is_pending() {
            self.put_pending(pending);
        }
        Some(polled)
    }

    fn take_pending(&self) -> Option<Layered> {
        self.0.as_ref()?.pending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put_pending(&self, message: Layered) {
        if let Some(settings) = &self.0 {
            let known = settings.pending.lock().unwrap_or_else(PoisonError::into_inner).replace(message);
            drop(known);
        }
    }
}

impl fmt::Debug for MessageSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.layers().map_or(0, |layers| layers.len());
        f.debug_struct("MessageSettings").field("layers", &layers).field("limits", self.limits()).finish()
    }
}

/// Runs a layer: its panic is an error of its call, like a handler's.
async fn caught<'a>(
    layer: impl FnOnce() -> Pin<Box<dyn Future<Output = Result<Bytes>> + Send + 'a>>,
) -> Result<Bytes> {
    let passed = match guarded(layer) {
        Ok(layer) => guarded_future(layer).await,
        Err(text) => Err(text),
    };
    passed.unwrap_or_else(|text| Err(panicked(&text)))
}

/// Returns the error of a call one of whose layers has panicked.
pub(crate) fn panicked(text: &str) -> Error {
    let cause = format!("panic: [happened in a layer] {text}");
    StreamError::new(Code::APPLICATION).with_cause(cause).into()
}
