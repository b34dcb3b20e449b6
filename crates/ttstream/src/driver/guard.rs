//! Closes a connection with the task that drives it: the end of the task, for any reason, ends the connection, so that no
//! other task waits for it forever.

use std::sync::Arc;

use kerrors::{Code, StreamError};

use super::link::Link;

/// Closes the connection when it is dropped: with its task, when the task's runtime is shut down, when the task is
/// aborted, or when it panics. To be made before the task is spawned, since a task may end before it is polled.
#[must_use = "dropping it closes the connection"]
pub(super) struct CloseOnDrop(Option<Closing>);

struct Closing {
    link: Arc<Link>,
    error: StreamError,
    /// The close is caused by this side, not by the peer.
    is_own: bool,
}

impl CloseOnDrop {
    /// Returns the guard of a task that the connection needs.
    pub(super) fn new(link: Arc<Link>) -> Self {
        let cause = "the task of the connection has ended: its runtime was shut down, or it panicked";
        let error = StreamError::new(Code::TRANSPORT_CLOSING).with_cause(cause);
        Self(Some(Closing { link, error, is_own: true }))
    }

    /// Returns the guard of a connection that was lost with `error`.
    pub(super) fn lost(link: Arc<Link>, error: StreamError) -> Self {
        Self(Some(Closing { link, error, is_own: false }))
    }

    /// Disarms the guard, because the task has ended normally: the connection is closed, or another task will
    /// close it.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let Some(Closing { link, error, is_own }) = self.0.take() else { return };
        if is_own {
            link.retire();
        }
        link.lose(&error);
    }
}
