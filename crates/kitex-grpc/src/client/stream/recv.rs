//! The direction from the server: the header of the response, its messages, and its trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use http::response::Parts;
use http::{HeaderMap, Response};
use kerrors::{CancelPath, Error, GrpcStatus, Side, StreamError};
use stream_core::Metadata;
use stream_core::rt::poll_proceed;

use super::ClientStream;
use super::state::{End, ResponseState, State};
use crate::incoming::{Event, Incoming};
use crate::message::Received;
use crate::{header, response, trailer};

impl ClientStream {
    pub(in crate::client) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let coop = ready!(poll_proceed(cx));
        // Declared before the lock, so that it is dropped after it.
        let _replaced;
        let mut state = self.state.lock();
        let polled = self.poll_state(&mut state, cx);
        if polled.is_ready() {
            coop.made_progress();
            state.waiting.stop();
            drop(state);
            let polled = polled.map_ok(|message| message.map(|message| self.open(message)));
            let polled = polled.map(|polled| polled.and_then(Option::transpose));
            // The end also wakes waiting senders.
            if !matches!(polled, Poll::Ready(Ok(Some(_)))) {
                self.waker.wake_senders();
            }
            return polled;
        }
        _replaced = state.waiting.wait(cx);
        let timeout = ready!(state.waiting.poll_expired(cx));
        drop(state);
        let origin = StreamError::recv_timeout(Side::Client, timeout);
        let status = GrpcStatus::recv_timeout(timeout).with_origin(origin);
        if !timeout.disable_cancel_remote {
            self.expire(status.clone());
        }
        Poll::Ready(Err(status.into()))
    }

    /// Returns the payload of a message. What cannot be opened ends the stream.
    fn open(&self, message: Received) -> Result<Bytes, Error> {
        message.open(self.link.config.max_message_size).map_err(|error| {
            let status = GrpcStatus::from(error);
            self.end(status.clone(), &CancelPath::of(&self.caller), false);
            status.into()
        })
    }

    fn poll_state(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Error>> {
        loop {
            if let End::Outcome(outcome) = &state.end {
                return Poll::Ready(outcome.clone().map(|()| None));
            }
            match &mut state.incoming {
                ResponseState::Header(response) => {
                    let response = ready!(Pin::new(response).poll(cx));
                    self.read_response(state, response);
                }
                ResponseState::Messages(incoming) => match ready!(incoming.poll_next(cx)) {
                    Event::Message(message) => {
                        state.observed.received.count(message.bytes.len());
                        return Poll::Ready(Ok(Some(message)));
                    }
                    event => self.read_end(state, event),
                },
                ResponseState::Trailers(incoming) => {
                    let trailers = ready!(incoming.body.poll_trailers(cx));
                    self.read_trailers(state, trailers);
                }
                ResponseState::Ended => return Poll::Ready(Ok(None)),
            }
        }
    }

    pub(super) fn read_response(
        &self,
        state: &mut State,
        response: Result<Response<h2::RecvStream>, h2::Error>,
    ) {
        let (Parts { status, headers, .. }, body) = match response {
            Ok(response) => response.into_parts(),
            Err(error) => {
                state.retryable = self.retryable_after(&error);
                return self.finish_received(state, Err(self.failed(&error)), None);
            }
        };
        let compression = match response::check(status, &headers) {
            Ok(compression) => compression,
            Err(status) => {
                return self.finish_received(state, Err(status.into()), Some(Reason::PROTOCOL_ERROR));
            }
        };
        if body.is_end_stream() {
            state.header = Some(Metadata::new());
            return self.read_status(state, &headers);
        }
        state.header = Some(header::metadata(&headers));
        let limit = self.link.config.max_message_size;
        state.incoming = ResponseState::Messages(Incoming::new(body, limit, compression));
    }

    fn read_status(&self, state: &mut State, trailers: &HeaderMap) {
        state.trailer = Some(header::metadata(trailers));
        let outcome = trailer::outcome(trailers);
        let malformed = outcome.as_ref().is_err_and(|error| error.kind() == kerrors::ErrorKind::Protocol);
        self.finish_received(state, outcome, malformed.then_some(Reason::PROTOCOL_ERROR));
    }

    fn read_end(&self, state: &mut State, event: Event) {
        match (event, std::mem::replace(&mut state.incoming, ResponseState::Ended)) {
            (Event::End, ResponseState::Messages(incoming)) => {
                state.incoming = ResponseState::Trailers(incoming);
            }
            (Event::Malformed(error), _) => {
                let status = GrpcStatus::from(error);
                self.finish_received(state, Err(status.into()), Some(Reason::CANCEL));
            }
            (Event::Lost(error), _) => self.finish_received(state, Err(self.failed(&error)), None),
            // No message is expected here: only `Messages` returns messages.
            (Event::Message(_) | Event::End, _) => {}
        }
    }

    fn read_trailers(&self, state: &mut State, trailers: Result<Option<HeaderMap>, h2::Error>) {
        match trailers {
            Ok(Some(trailers)) => self.read_status(state, &trailers),
            Ok(None) => {
                let status = GrpcStatus::protocol("server closed the stream without sending trailers");
                self.finish_received(state, Err(status.into()), None);
            }
            Err(error) => self.finish_received(state, Err(self.failed(&error)), None),
        }
    }

    pub(in crate::client) fn poll_header(&self, cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        let _replaced;
        let mut state = self.state.lock();
        if let ResponseState::Header(response) = &mut state.incoming {
            let response = match Pin::new(response).poll(cx) {
                Poll::Ready(response) => response,
                Poll::Pending => {
                    _replaced = state.waiting.wait(cx);
                    return Poll::Pending;
                }
            };
            self.read_response(&mut state, response);
        }
        Poll::Ready(match (&state.header, state.end.outcome()) {
            (Some(header), _) => Ok(header.clone()),
            (None, Some(Err(error))) => Err(error.clone()),
            (None, _) => Ok(Metadata::new()),
        })
    }

    pub(in crate::client) fn stop_recv(&self) {
        self.state.lock().waiting.stop();
    }
}
