//! Hooks for the observers of a connection. Models have no observers.

#[cfg(feature = "tokio")]
pub(super) use stream_core::observe::Listed;
#[cfg(feature = "tokio")]
pub(super) use stream_core::stream::{HeldStream, WeakStream};

#[cfg(not(feature = "tokio"))]
pub(crate) use unobserved::WeakStream;
#[cfg(not(feature = "tokio"))]
pub(super) use unobserved::{HeldStream, Listed};

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

    impl HeldStream {
        pub(in super::super) fn record_cancel(&self, _: StreamError, _: Instant) {}
    }

    pub(in super::super) struct Listed;

    impl Listed {
        pub(in super::super) fn new<T>(_: Weak<T>) -> Self {
            Self
        }
    }
}
