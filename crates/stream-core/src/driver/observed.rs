//! What those who observe a connection get to see of it. Models have nobody who observes.

#[cfg(feature = "tokio")]
pub(super) use observing::{Listed, Shared, record};
#[cfg(not(feature = "tokio"))]
pub(crate) use unobserved::Shared;
#[cfg(not(feature = "tokio"))]
pub(super) use unobserved::{Listed, record};

#[cfg(feature = "tokio")]
mod observing {
    use std::sync::Weak;
    use std::time::{Duration, SystemTime};

    use kerrors::StreamError;

    pub(in super::super) use crate::observe::Listed;
    use crate::observe::{CancelView, record_cancel};
    pub(in super::super) use crate::stream::Shared;

    /// Records a cancel that passed through here and took so long.
    pub(in super::super) fn record(shared: &Weak<Shared>, error: StreamError, took: Duration) {
        if let Some(shared) = shared.upgrade() {
            let stream = shared.info().clone();
            record_cancel(CancelView { at: SystemTime::now(), stream, error, took });
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod unobserved {
    use std::sync::Weak;
    use std::time::Duration;

    use kerrors::StreamError;

    pub(crate) struct Shared;

    pub(in super::super) struct Listed;

    impl Listed {
        pub(in super::super) fn new<T>(_: Weak<T>) -> Self {
            Self
        }
    }

    pub(in super::super) fn record(_: &Weak<Shared>, _: StreamError, _: Duration) {}
}
