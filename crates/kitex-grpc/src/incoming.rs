//! The receiving half of a stream: decodes the chunks of its body to messages, with flow control, and the
//! Recv timeout.

use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use h2::RecvStream;
use kerrors::RecvTimeout;
use stream_core::clock;
use stream_core::rt::Timer;

use crate::compression::Compression;
use crate::message::{Decoder, MessageError, Received};

/// The next event of a body.
pub(crate) enum Event {
    Message(Received),
    /// The body has ended, at the end of a message.
    End,
    /// It is not a sequence of messages.
    Malformed(MessageError),
    /// The stream was reset, or its connection lost.
    Lost(h2::Error),
}

/// A body of messages.
pub(crate) struct Incoming {
    pub(crate) body: RecvStream,
    decoder: Decoder,
}

impl Incoming {
    pub(crate) fn new(body: RecvStream, limit: usize, compression: Option<Compression>) -> Self {
        Self { body, decoder: Decoder::new(limit, compression) }
    }

    /// Returns the bytes that were received and not taken as messages.
    pub(crate) fn held(&mut self) -> usize {
        self.body.flow_control().used_capacity().saturating_add(self.decoder.held())
    }

    /// Returns the body's next message. Its bytes are released to the flow control windows as they are taken.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match self.decoder.next() {
                Ok(Some(message)) => return Poll::Ready(Event::Message(message)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Event::Malformed(error)),
            }
            match self.body.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => {
                    // Fails only if more is released than was received.
                    let _ = self.body.flow_control().release_capacity(chunk.len());
                    self.decoder.push(chunk);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Lost(error)),
                Poll::Ready(None) => {
                    return Poll::Ready(match self.decoder.finish() {
                        Ok(()) => Event::End,
                        Err(error) => Event::Malformed(error),
                    });
                }
            }
        }
    }
}

/// The timeout of a Recv, and the waker of the waiting task.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    timeout: Option<RecvTimeout>,
    due: Option<Instant>,
    timer: Timer,
    waker: Option<Waker>,
}

impl Waiting {
    pub(crate) fn new(timeout: Option<RecvTimeout>) -> Self {
        Self { timeout, ..Self::default() }
    }

    /// Sets the task to wake when the stream ends here. Returns the one before if it is another, to be dropped without
    /// a lock: a waker is foreign code.
    #[must_use]
    pub(crate) fn wait(&mut self, cx: &Context<'_>) -> Option<Waker> {
        match self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            true => None,
            false => self.waker.replace(cx.waker().clone()),
        }
    }

    /// Polls the timeout of a Recv that has begun to [`wait`](Self::wait): returns it if it has passed.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<RecvTimeout> {
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let due = self.due.get_or_insert_with(|| {
            let now = clock::now();
            now.checked_add(timeout.timeout).unwrap_or(now)
        });
        ready!(self.timer.poll_until(Some(*due), cx));
        self.due = None;
        Poll::Ready(timeout)
    }

    /// Returns whether a task was set to be woken.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waker.is_some()
    }

    /// Ends the pending Recv.
    pub(crate) fn stop(&mut self) {
        self.due = None;
    }

    /// Returns the waker of the waiting task.
    pub(crate) fn take(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}
