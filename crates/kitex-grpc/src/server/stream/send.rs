//! The direction to the client: the header of the response, its messages, and its trailers.

use std::task::{Context, Poll, ready};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use kerrors::{Error, Side};
use stream_core::rt::poll_proceed;
use stream_core::{Message, Metadata};

use super::ServerStream;
use crate::header::{self, GRPC_ENCODING};
use crate::server::state::{Outgoing, State};
use crate::{message, reset, status};

impl ServerStream {
    pub(in crate::server) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &Message<'_>,
    ) -> Poll<Result<(), Error>> {
        let coop = ready!(poll_proceed(cx));
        let mut state = self.state.lock();
        state.ended_send()?;
        self.put_header(&mut state);
        if !matches!(state.outgoing, Outgoing::Messages(_)) {
            drop(state);
            self.look();
            let ended = self.state.lock().ended_send();
            return Poll::Ready(ended.and_then(|()| Err(reset::stream_done(Side::Server).into())));
        }
        if state.pending.is_full() {
            self.waker.add(cx);
            return Poll::Pending;
        }
        coop.made_progress();
        // Compressing takes long: the connection's task looks at the state meanwhile.
        let state = self.answer.is_none().then_some(state);
        let encoded = message::encode(message.as_ref(), self.shared.config.max_message_size, self.answer);
        let encoded = encoded.map_err(|error| Error::from(status::refused(error, Side::Server)))?;
        let mut state = state.unwrap_or_else(|| self.state.lock());
        if matches!(state.outgoing, Outgoing::Messages(_)) {
            state.observed.sent.count(message.as_ref().len());
            if state.pending.put(&encoded) {
                drop(state);
                self.shared.watch.queue(self.key);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Passes the messages that wait to h2. Called by the connection's task.
    pub(in crate::server) fn flush(&self) {
        let mut state = self.state.lock();
        let State { outgoing: Outgoing::Messages(send), pending, .. } = &mut *state else { return };
        // An end is found by the check of the connection's task.
        let is_sent = pending.flush(send, &self.waker, &self.shared.memory).unwrap_or(true);
        drop(state);
        if is_sent {
            self.waker.wake_senders();
        }
    }

    fn response(&self, header: &Metadata) -> Response<()> {
        let mut response = Response::new(());
        header::put_metadata(response.headers_mut(), header);
        response.headers_mut().insert(CONTENT_TYPE, header::content_type(self.codec));
        response
    }

    /// Sends the header, if it was not sent.
    fn put_header(&self, state: &mut State) {
        if let Outgoing::Header(respond) = &mut state.outgoing {
            let mut response = self.response(&state.header);
            response.headers_mut().extend(self.answer.map(|answer| (GRPC_ENCODING, answer.name())));
            // Fails if the stream was reset, which the connection's task finds.
            if let Ok(send) = respond.send_response(response, false) {
                state.outgoing = Outgoing::Messages(send);
                // From now on resets are polled on another h2 handle.
                let _ = self.poll_reset(state);
            }
        }
    }

    pub(in crate::server) fn set_header(&self, header: &Metadata) -> bool {
        let mut state = self.state.lock();
        let open = matches!(state.outgoing, Outgoing::Header(_));
        if open {
            let pairs = header.iter().map(|(key, value)| (key.clone(), value.clone()));
            state.header.extend(pairs);
        }
        open
    }

    pub(in crate::server) fn send_header(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.ended_send()?;
        self.put_header(&mut state);
        Ok(())
    }

    pub(super) fn put_trailers(&self, state: &mut State, trailers: HeaderMap) {
        if !state.header.is_empty() {
            self.put_header(state);
        }
        match &mut state.outgoing {
            Outgoing::Header(respond) => {
                let mut response = self.response(&Metadata::new());
                response.headers_mut().extend(trailers);
                let _ = respond.send_response(response, true);
            }
            Outgoing::Messages(send) => {
                state.pending.send(send, &self.shared.memory);
                let _ = send.send_trailers(trailers);
            }
            Outgoing::Ended => {}
        }
    }
}
