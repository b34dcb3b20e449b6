//! What observers of a connection see of it. Models have no observer.

#[cfg(feature = "tokio")]
pub(super) use observing::{Listed, WeakStream, record};
#[cfg(not(feature = "tokio"))]
pub(crate) use unobserved::WeakStream;
#[cfg(not(feature = "tokio"))]
pub(super) use unobserved::{Listed, record};

#[cfg(feature = "tokio")]
mod observing {
    use std::time::{Duration, SystemTime};

    use kerrors::StreamError;
    pub(in super::super) use stream_core::observe::Listed;
    use stream_core::observe::{CancelView, record_cancel};
    pub(in super::super) use stream_core::stream::WeakStream;

    /// Records a cancel that passed through here and took so long.
    pub(in super::super) fn record(stream: Option<&WeakStream>, error: StreamError, took: Duration) {
        if let Some(stream) = stream.and_then(WeakStream::info) {
            record_cancel(CancelView { at: SystemTime::now(), stream, error, took });
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod unobserved {
    use std::sync::Weak;
    use std::time::Duration;

    use kerrors::StreamError;

    #[derive(Clone)]
    pub(crate) struct WeakStream;

    pub(in super::super) struct Listed;

    impl Listed {
        pub(in super::super) fn new<T>(_: Weak<T>) -> Self {
            Self
        }
    }

    pub(in super::super) fn record(_: Option<&WeakStream>, _: StreamError, _: Duration) {}
}
