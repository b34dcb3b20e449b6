//! What becomes of a handler whose call is canceled under it.

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

/// What becomes of a handler whose stream is canceled under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCancel {
    /// Its Send, Recv and context report the cancel; the handler keeps running until it returns.
    Notify,
    /// They report it, and the handler's future is dropped if it has not returned after this time.
    NotifyThenDrop(Duration),
    /// The handler's future is dropped at once.
    Drop,
}

impl Default for OnCancel {
    /// [`NotifyThenDrop`](Self::NotifyThenDrop) after 1 s.
    fn default() -> Self {
        Self::NotifyThenDrop(Duration::from_secs(1))
    }
}

/// Returns a future that runs `call` to its end, or as long after a cancel as `policy` allows.
pub(crate) fn guard<F: Future>(
    call: F,
    scope: &Scope,
    policy: OnCancel,
) -> Guard<CatchUnwind<AssertUnwindSafe<F>>> {
    let call = AssertUnwindSafe(call).catch_unwind();
    Guard { call, canceled: scope.canceled(), policy, grace: None }
}

/// See [`guard`].
#[pin_project]
pub(crate) struct Guard<F> {
    #[pin]
    call: F,
    canceled: Canceled,
    policy: OnCancel,
    /// Why it was canceled, and how long it may still run.
    grace: Option<Pin<Box<Grace>>>,
}

/// Boxed where it is held: few calls are canceled, and a timer is large.
#[pin_project]
struct Grace {
    reason: Reason,
    #[pin]
    until: Sleep,
}

impl<F: Future> Future for Guard<F> {
    type Output = Result<F::Output, Reason>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Checked first, so that no line of the handler runs after the cancel.
        if *this.policy == OnCancel::Drop
            && let Poll::Ready(reason) = Pin::new(&mut *this.canceled).poll(cx)
        {
            return Poll::Ready(Err(reason));
        }
        if let Poll::Ready(result) = this.call.poll(cx) {
            return Poll::Ready(Ok(result));
        }
        let OnCancel::NotifyThenDrop(time) = *this.policy else { return Poll::Pending };
        let grace = match this.grace {
            Some(grace) => grace,
            none => {
                let reason = ready!(Pin::new(this.canceled).poll(cx));
                none.insert(Box::pin(Grace { reason, until: tokio::time::sleep(time) }))
            }
        };
        let grace = grace.as_mut().project();
        grace.until.poll(cx).map(|()| Err(grace.reason.clone()))
    }
}
