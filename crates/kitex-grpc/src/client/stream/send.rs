//! The direction to the server.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use kerrors::{Error, Side};
use stream_core::Message;
use stream_core::cancel::Reason as CancelReason;
use stream_core::rt::poll_proceed;
use stream_core::sync::MutexGuard;

use super::state::{ResponseState, State};
use super::{ClientStream, key_of};
use crate::GrpcConfig;
use crate::client::link::Watched;
use crate::{message, reset, status};

impl ClientStream {
    pub(in crate::client) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &Message<'_>,
    ) -> Poll<Result<(), Error>> {
        let coop = ready!(poll_proceed(cx));
        let mut state = self.state.lock();
        let GrpcConfig { max_message_size: limit, compression, .. } = self.link.config;
        let is_watched = state.is_watched;
        let send = state.open_half()?;
        let is_reset = !is_watched && self.poll_reset(send).is_ready();
        if is_reset || state.is_refused {
            return Poll::Ready(Err(self.send_error(state)));
        }
        state.is_watched = true;
        if state.pending.is_full() {
            self.waker.add(cx);
            return Poll::Pending;
        }
        coop.made_progress();
        // Compressing takes long: a cancel needs the state meanwhile.
        let state = compression.is_none().then_some(state);
        let encoded = message::encode(message.as_ref(), limit, compression);
        let encoded = encoded.map_err(|error| Error::from(status::refused(error, Side::Client)))?;
        let mut state = state.unwrap_or_else(|| self.state.lock());
        state.open_half()?;
        state.observed.sent.count(message.as_ref().len());
        if state.pending.put(&encoded) {
            drop(state);
            self.link.watch.queue(key_of(self.id));
        }
        Poll::Ready(Ok(()))
    }

    /// Checks whether the server has reset the stream, or the connection was lost; has the connection's task woken by that.
    fn poll_reset(&self, send: &mut SendStream<Bytes>) -> Poll<Result<Reason, h2::Error>> {
        let waker = Waker::from(self.waker.clone());
        send.poll_reset(&mut Context::from_waker(&waker))
    }

    /// Returns why nothing can be sent: what the server has ended the stream with, if it has sent nothing else, though
    /// no Recv has returned it yet.
    fn send_error(&self, mut state: MutexGuard<'_, State>) -> Error {
        let mut cx = Context::from_waker(Waker::noop());
        let mut receiver = None;
        // Before the response: one that came before the end is then here, and counts.
        let end = state.send.as_mut().map(|send| send.poll_reset(&mut cx));
        if let ResponseState::Header(response) = &mut state.incoming {
            match Pin::new(response).poll(&mut cx) {
                Poll::Ready(response) => self.read_response(&mut state, response),
                // h2 keeps one waker, and this poll has replaced that of the Recv that waits.
                Poll::Pending => receiver = state.waiting.take(),
            }
        }
        let ended: Option<Error> = match (state.end.outcome(), end) {
            (Some(Err(error)), _) => Some(error.clone()),
            (None, Some(Poll::Ready(Err(error)))) => Some(self.failed(&error)),
            (None, Some(Poll::Ready(Ok(reason)))) if reason != Reason::NO_ERROR => {
                Some(self.with_origin_sent(true, reset::at_client(reason.into(), self.is_late())).into())
            }
            _ => None,
        };
        ended.iter().for_each(|error| state.end.report(error));
        drop(state);
        self.wake(receiver);
        ended.unwrap_or_else(|| reset::stream_done(Side::Client).into())
    }

    pub(in crate::client) fn close_send(&self) {
        let mut state = self.state.lock();
        let State { send: Some(send), closed: closed @ false, pending, .. } = &mut *state else { return };
        *closed = true;
        pending.send(send, &self.link.memory);
        // In a separate frame: a Kitex server ignores END_STREAM in a request's headers. Fails if the stream
        // has ended, which Recv reports.
        let _ = send.send_data(Bytes::new(), true);
    }

    /// Cancels the stream if its direction to the server is still open. A stream that the server has ended, or whose
    /// connection was lost, is not canceled, though no Recv has returned that end yet: the next one does.
    pub(in crate::client) fn abandon_send(&self, reason: &CancelReason) {
        let mut state = self.state.lock();
        let State { send: Some(send), closed: false, is_refused: false, .. } = &mut *state else { return };
        let is_refused = self.poll_reset(send).is_ready();
        drop(state);
        if !is_refused {
            self.cancel_for(reason);
        }
    }
}

impl Watched for ClientStream {
    fn flush(&self) {
        let mut state = self.state.lock();
        let State { send: Some(send), pending, is_refused, .. } = &mut *state else { return };
        let is_sent = pending.flush(send, &self.waker, &self.link.memory);
        *is_refused |= is_sent.is_err() || self.poll_reset(send).is_ready();
        if *is_refused {
            pending.clear();
        }
        let has_room = *is_refused || matches!(is_sent, Ok(true));
        drop(state);
        if has_room {
            self.waker.wake_senders();
        }
    }

    fn take_header(&self) {
        let mut state = self.state.lock();
        let ResponseState::Header(response) = &mut state.incoming else { return };
        let mut receiver = None;
        match Pin::new(response).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => self.read_response(&mut state, response),
            // h2 knows one waker: who waits has to ask again.
            Poll::Pending => receiver = state.waiting.take(),
        }
        let has_ended = state.end.is_outcome();
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
        if has_ended {
            self.waker.wake_senders();
        }
    }
}
