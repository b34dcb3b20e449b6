//! Cancels a call when its HTTP client has disconnected.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use kitex::{Canceler, Context};
use thiserror::Error;

/// The cause of a cancel by a client that disconnected. It is the text that each hop of the chain reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Error)]
#[error("client disconnected")]
pub struct Disconnected;

/// Runs `work` under a child of `ctx`. If the returned future is dropped before its end, which an HTTP server does when
/// the client disconnects, all that was opened under the child is canceled: code 12011, cause [`Disconnected`].
///
/// [`Sse`](crate::Sse) does this by itself; call this for responses that are no event streams.
pub async fn cancel_on_disconnect<F: Future>(ctx: &Context, work: impl FnOnce(Context) -> F) -> F::Output {
    let (ctx, guard) = ClientGuard::new(ctx);
    let (output, guard) = Guarded { guard: Some(guard), work: Box::pin(work(ctx)) }.await;
    guard.into_iter().for_each(ClientGuard::disarm);
    output
}

/// Cancels what was opened under its context when it is dropped.
#[derive(Debug)]
pub(crate) struct ClientGuard(Option<Canceler>);

impl ClientGuard {
    pub(crate) fn new(ctx: &Context) -> (Context, Self) {
        let (ctx, canceler) = ctx.with_cancel();
        (ctx, Self(Some(canceler)))
    }

    /// The response is complete: nothing is canceled.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        if let Some(canceler) = self.0.take() {
            canceler.cancel_foreign(Disconnected);
        }
    }
}

/// Work whose guard is dropped before it: the streams that it holds then end with the guard's cause, not with that of
/// a dropped stream.
pub(crate) struct Guarded<F> {
    pub(crate) guard: Option<ClientGuard>,
    pub(crate) work: Pin<Box<F>>,
}

impl<F: Future> Future for Guarded<F> {
    type Output = (F::Output, Option<ClientGuard>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let output = std::task::ready!(self.work.as_mut().poll(cx));
        Poll::Ready((output, self.guard.take()))
    }
}
