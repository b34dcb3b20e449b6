//! The half of a stream that sends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use kerrors::{Error, Side};
use tokio::time::Sleep;

use super::inner::StreamInner;
use crate::observe::StreamInfo;
use crate::{Message, Metadata};

/// Sends messages. Clones send on the same stream, whole messages in the order of the calls.
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

    /// Queues one message; waits while too much is queued (backpressure). Cancel-safe: the message is queued
    /// whole or not at all.
    ///
    /// # Errors
    /// The error that the stream ended with; [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) after
    /// [`close_send`](Self::close_send), or if the message is too large for a frame;
    /// [`SEND_TIMEOUT`](kerrors::Code::SEND_TIMEOUT) if the wait exceeds the Send timeout.
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

    /// As [`send`](Self::send), for a future that owns the message. `timer` is used for this message only:
    /// the Send timeout starts with the first poll that is pending.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &Message<'_>,
        timer: &mut SendTimer,
    ) -> Poll<Result<(), Error>> {
        let mut sent = self.inner.poll_send(cx, message);
        if let (Poll::Pending, Some(timeout)) = (&sent, self.inner.send_timeout()) {
            let timer = timer.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
            ready!(timer.as_mut().poll(cx));
            self.inner.current().transport.expire_send(timeout);
            sent = self.inner.poll_send(cx, message);
        }
        // Recv reports an end that is found here, after the messages before it, or the drop does.
        if let (Poll::Ready(sent), Some(observed)) = (&sent, self.inner.observed()) {
            match sent {
                Ok(()) => observed.sent(message.as_ref().len()),
                Err(error) => observed.send_failed(error),
            }
        }
        sent
    }

    /// Reports an error that a layer above made of a message that was to be sent.
    #[doc(hidden)]
    pub fn report_failure(&self, error: &Error) {
        self.inner.observed().into_iter().for_each(|observed| observed.send_failed(error));
    }

    /// Client: ends this direction.
    pub fn close_send(&self) {
        self.inner.close_send();
    }

    /// Returns the facts known from the stream's start.
    pub fn info(&self) -> &StreamInfo {
        self.inner.current().info()
    }

    /// As [`info`](Self::info), for those who keep it.
    pub fn shared_info(&self) -> Arc<StreamInfo> {
        self.inner.info().clone()
    }

    /// Calls `callback` once when the stream has ended, with its error: on a client when a handle observes
    /// the end, on a server when the handler has returned.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + std::marker::Send + 'static) {
        self.inner.add_on_close(callback);
    }

    /// Server: adds to the header of the response, which is sent with the first message. Returns `false` if
    /// it was already sent.
    pub fn set_header(&self, header: &Metadata) -> bool {
        self.inner.transport.set_header(header)
    }

    /// Server: sends the header of the response now, unless it was already sent.
    ///
    /// # Errors
    /// The error that the stream ended with; [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if the
    /// header is too large: its strings are dropped, and others may be set.
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
            self.inner.abandon_send();
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
