//! The half of a stream that sends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use kerrors::{Error, Side};
use tokio::time::Sleep;

use super::Shared;
use crate::Metadata;
use crate::cancel::Reason;
use crate::observe::StreamInfo;
use crate::proto::Payload;

/// Sends messages. Clones send on the same stream, each message whole, in the order of the calls.
///
/// A client's stream is canceled when the last clone is dropped before [`close_send`](Self::close_send).
#[derive(Debug)]
#[must_use = "dropping the sender cancels a client's stream"]
pub struct SendStream {
    shared: Arc<Shared>,
}

impl SendStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Queues one message; waits while too much is queued. Cancel-safe: the message is queued whole or
    /// not at all.
    ///
    /// # Errors
    /// What the stream ended with; 12005 after [`close_send`](Self::close_send), or if the message is too
    /// large for a frame.
    pub fn send<'a>(&'a self, message: &'a [u8]) -> Send<'a> {
        Send { stream: self, payload: Payload::Borrowed(message), timer: SendTimer::default() }
    }

    /// As [`send`](Self::send); a large message is not copied.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(&self, message: Bytes) -> Send<'_> {
        Send { stream: self, payload: Payload::Owned(message), timer: SendTimer::default() }
    }

    /// As [`send`](Self::send), for a future that holds the message itself. `timer` belongs to the one
    /// message: the Send timeout runs from the first poll that is pending.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &Payload<'_>,
        timer: &mut SendTimer,
    ) -> Poll<Result<(), Error>> {
        let Shared { link, key, observers, send_timeout, .. } = &*self.shared;
        let mut sent = link.poll_send(cx, *key, message);
        if let (Poll::Pending, Some(timeout)) = (&sent, send_timeout) {
            let timer = timer.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(*timeout)));
            ready!(timer.as_mut().poll(cx));
            link.update_connection(|connection| connection.handle_send_timeout(*key, *timeout));
            sent = link.poll_send(cx, *key, message);
        }
        // An end that is found here is told by Recv, behind the messages that came before it, or by the drop.
        if let Poll::Ready(Ok(())) = sent {
            observers.iter().for_each(|observer| observer.sent(self.info(), message.as_ref().len()));
        }
        sent
    }

    /// Client: says that nothing more will be sent.
    pub fn close_send(&self) {
        self.shared.link.update_connection(|connection| connection.close_send(self.shared.key));
    }

    /// What is known of the stream from its beginning on.
    pub fn info(&self) -> &StreamInfo {
        self.shared.info()
    }

    /// Calls `callback` once when the stream has ended, with what went wrong: a client's when its handles
    /// learn of the end, a server's when its handler has returned.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + std::marker::Send + 'static) {
        self.shared.add_on_close(callback);
    }

    /// Client: ends the stream here, at once, and at the peer. Does nothing if it has ended.
    pub fn cancel(&self, reason: &Reason) {
        self.shared.cancel(reason);
    }

    /// Server: adds to the header of the answer, which leaves with the first message. `false` if it has
    /// left.
    pub fn set_header(&self, header: &Metadata) -> bool {
        self.shared.link.update_connection(|connection| connection.set_header(self.shared.key, header))
    }

    /// Server: sends the header of the answer now, if it has not left.
    ///
    /// # Errors
    /// What the stream ended with; 12005 if the header is too large.
    pub fn send_header(&self) -> Result<(), Error> {
        self.shared.link.update_connection(|connection| connection.send_header(self.shared.key))
    }
}

impl Clone for SendStream {
    fn clone(&self) -> Self {
        self.shared.add_sender();
        Self::new(self.shared.clone())
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.shared.remove_sender() && self.shared.side == Side::Client {
            let reason = self.shared.reason_above().unwrap_or(Reason::Canceled);
            self.shared
                .link
                .update_connection(|connection| connection.abandon_send(self.shared.key, &reason));
        }
    }
}

/// How long a Send has waited; see [`SendStream::poll_send`]. Boxed: a timer is large, and few Sends need one.
#[derive(Debug, Default)]
pub struct SendTimer(Option<Pin<Box<Sleep>>>);

/// Waits until a message is queued; see [`SendStream::send`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a> {
    stream: &'a SendStream,
    payload: Payload<'a>,
    timer: SendTimer,
}

impl Future for Send<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { stream, payload, timer } = &mut *self;
        stream.poll_send(cx, payload, timer)
    }
}
