//! What handles do on a client's stream that may be opened again, and how another stream takes the place of one that was
//! refused or lost. What may be done about its end is decided by its transport ([`Retryable`](crate::Retryable)), whether it
//! is done by its [`Reopen`].

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use kerrors::{Code, Error, Side, StreamError};
use tokio::runtime::Handle;

use super::inner::{StreamInner, StreamReplay};
use super::replay::{Begin, Reopen, Settled};
use crate::Message;
use crate::cancel::Reason;

/// What handles do on a stream that may be opened again.
impl StreamInner {
    /// Returns the stream that has replaced this one; this one if none has.
    pub(crate) fn current(self: &Arc<Self>) -> &Arc<Self> {
        let mut current = self;
        while let Some(next) = current.replay().and_then(StreamReplay::next) {
            current = next;
        }
        current
    }

    fn active_replay(&self) -> Option<&StreamReplay> {
        self.replay().filter(|replay| replay.is_active())
    }

    pub(crate) fn poll_send(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        message: &Message<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            let current = self.current();
            let sent = ready!(current.transport.poll_send(cx, message));
            let Some(replay) = current.active_replay() else { return Poll::Ready(sent) };
            match sent {
                Ok(()) if replay.keep(message) => return Poll::Ready(Ok(())),
                Ok(()) => {
                    ready!(current.poll_reopened(cx));
                }
                Err(error) => {
                    if !ready!(current.poll_reopened(cx)) {
                        return Poll::Ready(Err(replay.failure().cloned().unwrap_or(error)));
                    }
                }
            }
        }
    }

    /// Waits for what `poll` gets from the peer, on whichever stream it comes.
    pub(super) fn poll_answer<R>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&Arc<Self>, &mut Context<'_>) -> Poll<Result<R, Error>>,
    ) -> Poll<Result<R, Error>> {
        loop {
            let current = self.current();
            let received = ready!(poll(current, cx));
            let Some(replay) = current.active_replay() else { return Poll::Ready(received) };
            match received {
                Ok(received) => {
                    replay.commit();
                    return Poll::Ready(Ok(received));
                }
                Err(error) => {
                    if !ready!(current.poll_reopened(cx)) {
                        return Poll::Ready(Err(replay.failure().cloned().unwrap_or(error)));
                    }
                }
            }
        }
    }

    /// The last sender was dropped.
    pub(super) fn abandon_send(self: &Arc<Self>) {
        loop {
            let current = self.current();
            current.transport.abandon_send(&current.reason_above().unwrap_or(Reason::Canceled));
            let Some(replay) = current.active_replay() else { return };
            if !replay.is_send_closed() && replay.is_reopening() {
                replay.set_failure(canceled());
                replay.give_up();
            }
            if replay.next().is_none() {
                return;
            }
        }
    }

    /// The receiver was dropped.
    pub(super) fn abandon_recv(self: &Arc<Self>) {
        loop {
            let current = self.current();
            current.cancel(&Reason::Canceled);
            let Some(replay) = current.active_replay() else { return };
            if replay.is_reopening() {
                replay.set_failure(canceled());
                replay.give_up();
            }
            if replay.next().is_none() {
                return;
            }
        }
    }

    pub(super) fn close_send(self: &Arc<Self>) {
        loop {
            let current = self.current();
            current.transport.close_send();
            match current.active_replay() {
                Some(replay) if !replay.keep_close() && replay.next().is_some() => {}
                _ => return,
            }
        }
    }

    /// Waits until another stream has replaced this one, which has ended. Returns `false` if none will.
    fn poll_reopened(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(replay) = self.replay() else { return Poll::Ready(false) };
        let retryable = self.transport.retryable();
        match (replay.begin(retryable, cx.waker()), Handle::try_current()) {
            (Begin::Over, _) => Poll::Ready(replay.next().is_some()),
            (Begin::Wait, _) => Poll::Pending,
            (Begin::Reopen(reopen, messages), Ok(runtime)) if reopen.is_permitted(retryable) => {
                // Made before the task: whatever ends the task ends the wait.
                let place = Place { refused: Arc::downgrade(self) };
                let task = runtime.spawn(place.fill(reopen, messages));
                replay.keep_task(task.abort_handle());
                Poll::Pending
            }
            (Begin::Reopen(..), _) => {
                replay.give_up();
                Poll::Ready(false)
            }
        }
    }
}

/// Returns the error of a stream whose handles were dropped while it was opened again.
fn canceled() -> Error {
    StreamError::new(Code::CANCELED).on_side(Side::Client).into()
}

/// The place of a stream that was refused or lost, while another is opened for it. If it is dropped before that, the stream
/// ends with what it had ended with.
struct Place {
    refused: Weak<StreamInner>,
}

impl Place {
    async fn fill(
        self,
        reopen: Box<dyn Reopen<Arc<StreamInner>>>,
        messages: impl Iterator<Item = Bytes> + Send,
    ) {
        let next = match reopen.reopen().await {
            Ok(next) => next,
            Err(error) => return self.fail(error),
        };
        for message in messages {
            let message = Message::Owned(message);
            // Observers have seen it sent.
            if poll_fn(|cx| next.poll_send(cx, &message)).await.is_err() {
                // The next Recv returns why.
                break;
            }
        }
        self.finish(&next);
    }

    fn finish(self, next: &Arc<StreamInner>) {
        let Some(refused) = self.refused.upgrade() else { return };
        let Some(replay) = refused.replay() else { return };
        let mut is_closed = false;
        loop {
            match replay.settle(Some(next), is_closed) {
                Settled::Close => {
                    next.close_send();
                    is_closed = true;
                }
                Settled::Done(wakers) => {
                    refused.hand_over(next);
                    return wakers.into_iter().for_each(Waker::wake);
                }
                Settled::GivenUp => return,
            }
        }
    }

    /// No other stream can be opened. What this one has ended with is the better error, unless the caller has ended the call
    /// meanwhile.
    fn fail(self, error: Error) {
        let Some(refused) = self.refused.upgrade() else { return };
        let Some(replay) = refused.replay() else { return };
        if !matches!(error, Error::Connect { .. } | Error::Network(_)) {
            replay.set_failure(error);
        }
        if let Settled::Done(wakers) = replay.settle(None, true) {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(refused) = self.refused.upgrade() else { return };
        let Some(replay) = refused.replay() else { return };
        if let Settled::Done(wakers) = replay.settle(None, true) {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}
