//! The receiving half of a stream: chunks of its body to messages, and the Recv timeout.

use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;
use h2::RecvStream;
use kerrors::RecvTimeout;
use stream_core::clock;
use stream_core::rt::Timer;

use crate::message::{Decoder, MessageError};

/// What a body brings next.
pub(crate) enum Event {
    Message(Bytes),
    /// The body has ended, at the end of a message.
    End,
    /// It is no sequence of messages.
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
    pub(crate) fn new(body: RecvStream, limit: usize) -> Self {
        Self { body, decoder: Decoder::new(limit) }
    }

    /// Takes the body's next message. Its bytes give their place in the windows back as they are taken.
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
                    // Fails only if more is given back than was taken.
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

/// How long one Recv may wait, and who waits.
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

    /// Sets the task that is woken when the stream ends here.
    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// A Recv is pending: returns the timeout if it has waited too long.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<RecvTimeout> {
        self.wait(cx);
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let due = self.due.get_or_insert_with(|| {
            let now = clock::now();
            now.checked_add(timeout.timeout).unwrap_or(now)
        });
        ready!(self.timer.poll_until(Some(*due), cx));
        self.due = None;
        Poll::Ready(timeout)
    }

    /// No Recv is pending any more.
    pub(crate) fn stop(&mut self) {
        self.due = None;
    }

    /// Returns the task that waits, to be woken.
    pub(crate) fn take(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}
