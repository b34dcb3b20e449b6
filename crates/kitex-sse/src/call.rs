//! A call as a source of events: messages, and what its end adds. Owns the order of events; knows nothing of bytes or
//! of time.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use futures_core::Stream;
use kitex::{Error, Metadata, Payload, Result, ServerStreamingClient};

use crate::Event;
use crate::guard::ClientGuard;

/// What the messages and the end of a call become. A closure from a message to an event is one.
pub trait ToEvents<T>: Send + 'static {
    /// Returns the events before the first message, sent with the head of the response. Default: none.
    fn start(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// Returns the event of a message.
    fn message(&mut self, message: T) -> Event;

    /// Returns the events after the last message, with the trailer that the service ended the call with. Default: none.
    fn end(&mut self, _trailer: Option<&Metadata>) -> Vec<Event> {
        Vec::new()
    }

    /// Returns the events for an error, which end the stream. Default: [`Event::error`].
    fn error(&mut self, error: &Error) -> Vec<Event> {
        vec![Event::error(error)]
    }
}

impl<T, F: FnMut(T) -> Event + Send + 'static> ToEvents<T> for F {
    fn message(&mut self, message: T) -> Event {
        self(message)
    }
}

/// Where a body takes its events from. `None` is the end.
pub(crate) trait Source: Send {
    /// Appends to `events`; false if there is nothing more.
    fn poll_events(&mut self, cx: &mut TaskContext<'_>, events: &mut Vec<Event>) -> Poll<bool>;
}

/// A call that is being read.
pub(crate) struct Call<T, E, C> {
    /// Taken at the end. Dropped before the stream, so that the cancel has its cause.
    guard: Option<ClientGuard>,
    stream: Option<ServerStreamingClient<T, C>>,
    first: Option<Option<Result<T>>>,
    started: bool,
    to_events: E,
}

impl<T, E, C> Call<T, E, C> {
    /// `first` is what was received already.
    pub(crate) fn new(
        guard: Option<ClientGuard>,
        stream: ServerStreamingClient<T, C>,
        first: Option<Option<Result<T>>>,
        to_events: E,
    ) -> Self {
        Self { guard, stream: Some(stream), first, started: false, to_events }
    }
}

impl<T: Payload<C>, E: ToEvents<T>, C> Call<T, E, C> {
    fn poll_message(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<T>>> {
        match (self.first.take(), &mut self.stream) {
            (Some(first), _) => Poll::Ready(first),
            (None, Some(stream)) => Pin::new(stream).poll_next(cx),
            (None, None) => Poll::Ready(None),
        }
    }

    /// The call has ended by itself: nothing is canceled any more.
    fn finish(&mut self) -> Option<Metadata> {
        self.guard.take().into_iter().for_each(ClientGuard::disarm);
        self.stream.take().and_then(|stream| stream.trailer())
    }
}

impl<T, E, C> Source for Call<T, E, C>
where
    T: Payload<C> + Send + 'static,
    E: ToEvents<T>,
    C: 'static,
{
    fn poll_events(&mut self, cx: &mut TaskContext<'_>, events: &mut Vec<Event>) -> Poll<bool> {
        if self.stream.is_none() {
            return Poll::Ready(false);
        }
        if !std::mem::replace(&mut self.started, true) {
            events.extend(self.to_events.start());
            return Poll::Ready(true);
        }
        match ready!(self.poll_message(cx)) {
            Some(Ok(message)) => events.push(self.to_events.message(message)),
            Some(Err(error)) => {
                self.finish();
                events.extend(self.to_events.error(&error));
            }
            None => {
                let trailer = self.finish();
                events.extend(self.to_events.end(trailer.as_ref()));
            }
        }
        Poll::Ready(true)
    }
}
