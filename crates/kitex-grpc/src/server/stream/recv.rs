//! The direction from the client.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use kerrors::{Error, GrpcStatus, Side, StreamError};
use stream_core::rt::poll_proceed;

use super::ServerStream;
use crate::incoming::Event;
use crate::message::Received;

impl ServerStream {
    pub(in crate::server) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let coop = ready!(poll_proceed(cx));
        // Declared before the lock, so that it is dropped after it.
        let _replaced;
        let mut state = self.state.lock();
        if let Some(ended) = state.ended_recv() {
            return Poll::Ready(ended);
        }
        let Some(incoming) = &mut state.incoming else { return Poll::Ready(Ok(None)) };
        let event = match incoming.poll_next(cx) {
            Poll::Ready(event) => event,
            Poll::Pending => {
                _replaced = state.waiting.wait(cx);
                let timeout = ready!(state.waiting.poll_expired(cx));
                let origin = StreamError::recv_timeout(Side::Server, timeout);
                drop(state);
                if !timeout.disable_cancel_remote {
                    self.end_by_timeout(GrpcStatus::recv_timeout(timeout), origin.clone());
                }
                let status = self.explained(GrpcStatus::recv_timeout(timeout), origin);
                return Poll::Ready(Err(status.into()));
            }
        };
        coop.made_progress();
        state.waiting.stop();
        let received = match event {
            Event::Message(message) => {
                state.observed.received.count(message.bytes.len());
                drop(state);
                return Poll::Ready(self.open(message).map(Some));
            }
            Event::End => Ok(()),
            Event::Malformed(error) => Err(GrpcStatus::from(error).into()),
            Event::Lost(_) => {
                drop(state);
                self.look();
                let ended = self.state.lock().ended_recv();
                return Poll::Ready(ended.unwrap_or_else(|| Err(self.connection_closed().into())));
            }
        };
        state.incoming = None;
        state.received = Some(received.clone());
        Poll::Ready(received.map(|()| None))
    }

    /// Returns the payload of a message. What cannot be opened is the end of what is received.
    fn open(&self, message: Received) -> Result<Bytes, Error> {
        message.open(self.shared.config.max_message_size).map_err(|error| {
            let error = Error::from(GrpcStatus::from(error));
            let mut state = self.state.lock();
            state.incoming = None;
            state.received = Some(Err(error.clone()));
            error
        })
    }

    pub(in crate::server) fn stop_recv(&self) {
        self.state.lock().waiting.stop();
    }

    pub(in crate::server) fn discard_incoming(&self) {
        self.state.lock().incoming = None;
    }
}
