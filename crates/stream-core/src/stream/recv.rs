//! The half of a stream that receives.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use kerrors::{Error, Side};

use super::inner::StreamInner;
use crate::Metadata;
use crate::cancel::Reason;
use crate::observe::StreamInfo;

/// Receives messages. Dropping a client's cancels the stream if it has not ended.
#[derive(Debug)]
#[must_use = "dropping the receiver cancels a client's stream"]
pub struct RecvStream {
    inner: Arc<StreamInner>,
}

impl RecvStream {
    pub(super) fn new(inner: Arc<StreamInner>) -> Self {
        Self { inner }
    }

    /// Returns the next message; `None` at the clean end of the peer's direction, which only its trailer
    /// makes. Cancel-safe: a message is returned or stays.
    ///
    /// # Errors
    /// What the stream ended with, after every message that came before.
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { stream: self }
    }

    /// As [`recv`](Self::recv). The Recv timeout starts with the first poll that is pending.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.inner.report_metas();
        let received = self.inner.transport.poll_recv(cx);
        if let Poll::Ready(received) = &received {
            self.report(received.as_ref());
        }
        received
    }

    fn report(&self, received: Result<&Option<Bytes>, &Error>) {
        let observers = self.inner.observers();
        match received {
            Ok(Some(message)) if !observers.is_empty() => {
                self.inner.report_header();
                let _ = self.inner.observe(|observer, info| observer.received(info, message.len()));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) if self.inner.side() == Side::Client => self.inner.report_if_ended(),
            Ok(None) | Err(_) => {}
        }
    }

    /// Returns the header of the peer's response, once it is there. Cancel-safe.
    ///
    /// # Errors
    /// What the stream ended with, if it ended without a header.
    pub async fn header(&mut self) -> Result<Metadata, Error> {
        let header = std::future::poll_fn(|cx| self.inner.transport.poll_header(cx)).await;
        self.inner.report_header();
        header
    }

    /// Returns the trailer of the peer's direction; `None` if it has not ended.
    pub fn trailer(&self) -> Option<Metadata> {
        self.inner.transport.trailer()
    }

    /// Returns what is known of the stream from its start.
    pub fn info(&self) -> &StreamInfo {
        self.inner.info()
    }

    /// Calls `callback` once when the stream has ended, with its error: a client's when its handles learn of
    /// the end, a server's when its handler has returned.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
        self.inner.add_on_close(callback);
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        match self.inner.side() {
            Side::Client => self.inner.cancel(&Reason::Canceled),
            Side::Server => self.inner.transport.discard_incoming(),
        }
    }
}

/// Waits for the next message; see [`RecvStream::recv`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a> {
    stream: &'a mut RecvStream,
}

impl Recv<'_> {
    /// Returns the stream that is received on.
    pub fn stream(&self) -> &RecvStream {
        self.stream
    }
}

impl Future for Recv<'_> {
    type Output = Result<Option<Bytes>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.stream.poll_recv(cx)
    }
}

impl Drop for Recv<'_> {
    fn drop(&mut self) {
        // A Recv that was given up must not time the stream out.
        self.stream.inner.transport.stop_recv();
    }
}
