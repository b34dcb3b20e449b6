//! The half of a stream that sends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use kerrors::{Error, Side};
use tokio::time::Sleep;

use super::inner::StreamInner;
use crate::cancel::Reason;
use crate::observe::StreamInfo;
use crate::{Message, Metadata};

/// Sends messages. Clones send on the same stream, each message whole, in the order of the calls.
///
/// A client's stream is canceled when the last clone is dropped before [`close_send`](Self::close_send).
#[derive(Debug)]
#[must_use = "dropping the sender cancels a client's stream"]
pub struct SendStream {
    inner: Arc<StreamInner>,
}

impl SendStream {
    pub(super) fn new(inner: Arc<StreamInner>) -> Self {
        Self { inner }
    }

    /// Queues one message; waits while too much is queued. Cancel-safe: the message is queued whole or
    /// not at all.
    ///
    /// # Errors
    /// What the stream ended with; code 12005 after [`close_send`](Self::close_send), or if the message is
    /// too large for a frame.
    pub fn send<'a>(&'a self, message: &'a [u8]) -> Send<'a> {
        Send { stream: self, message: Message::Borrowed(message), timer: SendTimer::default() }
    }

    /// As [`send`](Self::send); a large message is not copied.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(&self, message: Bytes) -> Send<'_> {
        Send { stream: self, message: Message::Owned(message), timer: SendTimer::default() }
    }

    /// As [`send`](Self::send), for a future that holds the message itself. `timer` belongs to the one
    /// message: the Send timeout starts with the first poll that is pending.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &Message<'_>,
        timer: &mut SendTimer,
    ) -> Poll<Result<(), Error>> {
        let transport = &self.inner.transport;
        let mut sent = transport.poll_send(cx, message);
        if let (Poll::Pending, Some(timeout)) = (&sent, self.inner.send_timeout()) {
            let timer = timer.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
            ready!(timer.as_mut().poll(cx));
            transport.expire_send(timeout);
            sent = transport.poll_send(cx, message);
        }
        // An end that is found here is reported by Recv, after the messages that came before it, or by the
        // drop.
        if let Poll::Ready(Ok(())) = sent {
            let _ = self.inner.observe(|observer, info| observer.sent(info, message.as_ref().len()));
        }
        sent
    }

    /// Client: ends this direction.
    pub fn close_send(&self) {
        self.inner.transport.close_send();
    }

    /// Returns what is known of the stream from its start.
    pub fn info(&self) -> &StreamInfo {
        self.inner.info()
    }

    /// Calls `callback` once when the stream has ended, with its error: a client's when its handles learn of
    /// the end, a server's when its handler has returned.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + std::marker::Send + 'static) {
        self.inner.add_on_close(callback);
    }

    /// Server: adds to the header of the response, which is sent with the first message. `false` if it was
    /// sent.
    pub fn set_header(&self, header: &Metadata) -> bool {
        self.inner.transport.set_header(header)
    }

    /// Server: sends the header of the response now, if it was not sent.
    ///
    /// # Errors
    /// What the stream ended with; code 12005 if the header is too large.
    pub fn send_header(&self) -> Result<(), Error> {
        self.inner.transport.send_header()
    }
}

impl Clone for SendStream {
    fn clone(&self) -> Self {
        self.inner.add_sender();
        Self::new(self.inner.clone())
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.inner.remove_sender() && self.inner.side() == Side::Client {
            let reason = self.inner.reason_above().unwrap_or(Reason::Canceled);
            self.inner.transport.abandon_send(&reason);
        }
    }
}

/// The timer of one Send; see [`SendStream::poll_send`]. Boxed: a timer is large, and few Sends need one.
#[derive(Debug, Default)]
pub struct SendTimer(Option<Pin<Box<Sleep>>>);

/// Waits until a message is queued; see [`SendStream::send`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a> {
    stream: &'a SendStream,
    message: Message<'a>,
    timer: SendTimer,
}

impl Future for Send<'_> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { stream, message, timer } = &mut *self;
        stream.poll_send(cx, message, timer)
    }
}
