//! The half of a stream that receives.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use kerrors::{Error, Side};

use super::Shared;
use crate::Metadata;
use crate::cancel::Reason;
use crate::observe::StreamInfo;

/// Receives messages. Dropping a client's cancels the stream if it has not ended.
#[derive(Debug)]
#[must_use = "dropping the receiver cancels a client's stream"]
pub struct RecvStream {
    shared: Arc<Shared>,
}

impl RecvStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The next message; `None` at the clean end of the peer's direction, which only its trailer makes.
    /// Cancel-safe: a message is given out or stays.
    ///
    /// # Errors
    /// What the stream ended with, after every message that came before.
    pub fn recv(&mut self) -> Recv<'_> {
        Recv { stream: self }
    }

    /// As [`recv`](Self::recv). The Recv timeout runs from the first poll that is pending.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let Shared { link, key, timed, .. } = &*self.shared;
        self.shared.tell_metas();
        let received = link.poll_recv(cx, *key, timed.then(Instant::now));
        if let Poll::Ready(received) = &received {
            self.tell(received.as_ref());
        }
        received
    }

    fn tell(&self, received: Result<&Option<Bytes>, &Error>) {
        let Shared { side, observers, .. } = &*self.shared;
        match received {
            Ok(Some(message)) if !observers.is_empty() => {
                self.shared.tell_header();
                observers.iter().for_each(|observer| observer.received(self.info(), message.len()));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) if *side == Side::Client => self.shared.tell_if_ended(),
            Ok(None) | Err(_) => {}
        }
    }

    /// What the peer answered the stream with, once it is there.
    ///
    /// # Errors
    /// What the stream ended with, if it ended without a header.
    pub async fn header(&mut self) -> Result<Metadata, Error> {
        let Shared { link, key, .. } = &*self.shared;
        let header = std::future::poll_fn(|cx| link.poll_header(cx, *key)).await;
        self.shared.tell_header();
        header
    }

    /// What the peer ended its direction with; `None` if it has not.
    pub fn trailer(&self) -> Option<Metadata> {
        self.shared.link.update_connection(|connection| connection.trailer(self.shared.key).cloned())
    }

    /// What is known of the stream from its beginning on.
    pub fn info(&self) -> &StreamInfo {
        self.shared.info()
    }

    /// Calls `callback` once when the stream has ended, with what went wrong: a client's when its handles
    /// learn of the end, a server's when its handler has returned.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
        self.shared.add_on_close(callback);
    }

    /// Client: ends the stream here, at once, and at the peer. Does nothing if it has ended.
    pub fn cancel(&self, reason: &Reason) {
        self.shared.cancel(reason);
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        let Shared { link, key, side, .. } = &*self.shared;
        match side {
            Side::Client => self.shared.cancel(&Reason::Canceled),
            Side::Server => link.update_connection(|connection| connection.ignore_received(*key)),
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
    /// The stream that is received on.
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
        let Shared { link, key, timed, .. } = &*self.stream.shared;
        if *timed {
            link.update_connection(|connection| connection.stop_recv(*key));
        }
    }
}
