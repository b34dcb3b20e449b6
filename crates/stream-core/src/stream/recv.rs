//! The half of a stream that receives.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use kerrors::{Error, Side};

use super::inner::StreamInner;
use crate::Metadata;
use crate::observe::StreamInfo;

/// Receives messages. Dropping a client's receiver cancels the stream if it has not ended.
#[derive(Debug)]
#[must_use = "dropping the receiver cancels a client's stream"]
pub struct RecvStream {
    inner: Arc<StreamInner>,
}

impl RecvStream {
    pub(super) fn new(inner: Arc<StreamInner>) -> Self {
        Self { inner }
    }

    /// Returns the next message; `None` at the clean end of the peer's direction, which only a trailer can
    /// be. Cancel-safe: no message is lost. A receiver that is not polled causes flow control: the peer's
    /// sends wait.
    ///
    /// # Errors
    /// The error that the stream ended with, after all messages before it.
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { stream: self }
    }

    /// As [`recv`](Self::recv). The Recv timeout starts with the first poll that is pending.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let received = self.inner.poll_answer(cx, |inner, cx| {
            let received = inner.transport.poll_recv(cx);
            if received.is_ready() {
                inner.report_metas();
            }
            received
        });
        if let Poll::Ready(received) = &received {
            self.report(received.as_ref());
        }
        received
    }

    fn report(&self, received: Result<&Option<Bytes>, &Error>) {
        let inner = self.inner.current();
        let ended = !matches!(received, Ok(Some(_)));
        if let Some(observed) = inner.observed() {
            match received {
                Ok(Some(message)) => {
                    inner.report_header();
                    observed.received(message.len());
                }
                Ok(None) => {}
                Err(error) => {
                    inner.report_header();
                    observed.recv_failed(error);
                }
            }
        }
        if ended && inner.side() == Side::Client {
            inner.report_if_ended();
        }
    }

    /// Reports an error that a layer above made of a message that was received.
    #[doc(hidden)]
    pub fn report_failure(&self, error: &Error) {
        self.inner.observed().into_iter().for_each(|observed| observed.recv_failed(error));
    }

    /// Waits for the header of the peer's response. Cancel-safe.
    ///
    /// # Errors
    /// The error that the stream ended with, if it ended without a header.
    pub async fn header(&mut self) -> Result<Metadata, Error> {
        let poll = |inner: &Arc<StreamInner>, cx: &mut Context<'_>| inner.transport.poll_header(cx);
        let header = std::future::poll_fn(|cx| self.inner.poll_answer(cx, poll)).await;
        self.inner.current().report_header();
        header
    }

    /// Returns the trailer of the peer's direction; `None` if it has not ended.
    pub fn trailer(&self) -> Option<Metadata> {
        self.inner.current().transport.trailer()
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
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
        self.inner.add_on_close(callback);
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        match self.inner.side() {
            Side::Client => self.inner.abandon_recv(),
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
        // The timeout of a dropped Recv must not end the stream.
        self.stream.inner.current().transport.stop_recv();
    }
}
