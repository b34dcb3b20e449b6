//! Hooks for the observers of a connection. Models have no observers.

#[cfg(feature = "tokio")]
pub(super) use observing::{HeldStream, Listed, WeakStream, record};
#[cfg(not(feature = "tokio"))]
pub(crate) use unobserved::WeakStream;
#[cfg(not(feature = "tokio"))]
pub(super) use unobserved::{HeldStream, Listed, record};

#[cfg(feature = "tokio")]
mod observing {
    use std::time::{Instant, SystemTime};

    use kerrors::StreamError;
    use stream_core::clock;
    pub(in super::super) use stream_core::observe::Listed;
    use stream_core::observe::{CancelView, record_cancel};
    pub(in super::super) use stream_core::stream::{HeldStream, WeakStream};

    /// Records a cancel that was received at `received` and has passed through this connection.
    pub(in super::super) fn record(stream: Option<&HeldStream>, error: StreamError, received: Instant) {
        if let Some(stream) = stream.and_then(HeldStream::info) {
            let took = clock::now().saturating_duration_since(received);
            record_cancel(CancelView { at: SystemTime::now(), received, stream, error: error.into(), took });
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod unobserved {
    use std::sync::Weak;
    use std::time::Instant;

    use kerrors::StreamError;

    #[derive(Clone)]
    pub(crate) struct WeakStream;

    impl WeakStream {
        pub(in super::super) fn hold(&self) -> Option<HeldStream> {
            None
        }
    }

    pub(in super::super) struct HeldStream;

    pub(in super::super) struct Listed;

    impl Listed {
        pub(in super::super) fn new<T>(_: Weak<T>) -> Self {
            Self
        }
    }

    pub(in super::super) fn record(_: Option<&HeldStream>, _: StreamError, _: Instant) {}
}
