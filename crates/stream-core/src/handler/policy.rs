//! The policy for a handler whose stream or call is canceled.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use pin_project::pin_project;
use tokio::time::Sleep;

use crate::cancel::{Canceled, Reason, Scope};

/// The policy for a running handler whose stream or call is canceled.
///
/// ```
/// use std::time::Duration;
/// use stream_core::handler::{OnCancel, ServerConfig};
///
/// // Handlers have 5 s to save their state after a cancel. The default is 1 s.
/// let mut config = ServerConfig::default();
/// config.on_cancel = OnCancel::NotifyThenDrop(Duration::from_secs(5));
/// assert_eq!(OnCancel::default(), OnCancel::NotifyThenDrop(Duration::from_secs(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCancel {
    /// Its Send, Recv and context report the cancel; the handler keeps running until it returns. A graceful shutdown that
    /// has canceled it waits for it as long as it has waited before the cancel:
    /// [`ServerConfig::exit_wait`](super::ServerConfig::exit_wait).
    Notify,
    /// As [`Notify`](Self::Notify), and the handler's future is dropped if it has not returned after this
    /// time.
    NotifyThenDrop(Duration),
    /// The handler's future is dropped at once.
    Drop,
}

impl Default for OnCancel {
    /// Returns [`NotifyThenDrop`](Self::NotifyThenDrop) after 1 s.
    fn default() -> Self {
        Self::NotifyThenDrop(Duration::from_secs(1))
    }
}

/// Returns a future that runs `call` to completion, or after a cancel for as long as `policy` allows.
pub(crate) fn guard<F: Future>(
    call: F,
    scope: &Scope,
    policy: OnCancel,
) -> Guard<CatchUnwind<AssertUnwindSafe<F>>> {
    let call = AssertUnwindSafe(call).catch_unwind();
    Guard { call, canceled: scope.canceled(), then: Then::Policy(policy) }
}

/// See [`guard`].
#[pin_project]
pub(crate) struct Guard<F> {
    #[pin]
    call: F,
    canceled: Canceled,
    then: Then,
}

/// What a cancel does to the call. One value: each running handler holds one.
enum Then {
    /// It has not been canceled yet, or runs on.
    Policy(OnCancel),
    /// It was canceled, and is dropped after a time.
    Grace(Pin<Box<Grace>>),
}

/// Boxed by its owner: few calls are canceled, and a timer is large.
#[pin_project]
struct Grace {
    /// Of the cancel.
    reason: Reason,
    #[pin]
    until: Sleep,
}

impl<F: Future> Future for Guard<F> {
    type Output = Result<F::Output, Reason>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Checked first, so that the handler is not polled after the cancel.
        if let Then::Policy(OnCancel::Drop) = this.then
            && let Poll::Ready(reason) = Pin::new(&mut *this.canceled).poll(cx)
        {
            return Poll::Ready(Err(reason));
        }
        if let Poll::Ready(result) = this.call.poll(cx) {
            return Poll::Ready(Ok(result));
        }
        if let Then::Policy(OnCancel::NotifyThenDrop(time)) = *this.then {
            let reason = ready!(Pin::new(this.canceled).poll(cx));
            *this.then = Then::Grace(Box::pin(Grace { reason, until: tokio::time::sleep(time) }));
        }
        let Then::Grace(grace) = this.then else { return Poll::Pending };
        let grace = grace.as_mut().project();
        grace.until.poll(cx).map(|()| Err(grace.reason.clone()))
    }
}
