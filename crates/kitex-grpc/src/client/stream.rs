//! The client's end of one stream.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use http::response::Parts;
use http::{HeaderMap, Response};
use kerrors::{Error, GrpcStatus, Side};
use stream_core::call::OutgoingCall;
use stream_core::cancel::{Label, Reason as CancelReason, Target};
use stream_core::clock;
use stream_core::observe::StreamFacts;
use stream_core::rt::poll_proceed;
use stream_core::stream::TransportStream;
use stream_core::sync::Mutex;
use stream_core::{Message, Metadata};
use tokio::task::AbortHandle;

use super::link::Link;
use crate::incoming::{Event, Incoming, Waiting};
use crate::wake::{SendWaker, poll_room};
use crate::{header, message, reset, response, status, trailer};

/// The client's end of one stream, shared by its handles, its scope and its timer.
pub(super) struct ClientStream {
    link: Arc<Link>,
    id: u32,
    service: Bytes,
    method: Bytes,
    deadline: Option<Instant>,
    waker: Arc<SendWaker>,
    state: Mutex<State>,
}

struct State {
    /// `None` once the stream has ended.
    send: Option<SendStream<Bytes>>,
    /// This direction has ended.
    closed: bool,
    incoming: Answer,
    header: Option<Metadata>,
    trailer: Option<Metadata>,
    outcome: Option<Result<(), Error>>,
    waiting: Waiting,
    timer: Option<AbortHandle>,
}

/// The direction from the server.
enum Answer {
    Header(ResponseFuture),
    Messages(Incoming),
    /// All messages are taken.
    Trailers(Incoming),
    Ended,
}

impl ClientStream {
    pub(super) fn start(
        link: Arc<Link>,
        call: &OutgoingCall<'_>,
        response: ResponseFuture,
        send: SendStream<Bytes>,
    ) -> Arc<Self> {
        let id = send.stream_id().as_u32();
        let state = State {
            send: Some(send),
            closed: false,
            incoming: Answer::Header(response),
            header: None,
            trailer: None,
            outcome: None,
            waiting: Waiting::new(call.recv_timeout),
            timer: None,
        };
        let stream = Arc::new(Self {
            link,
            id,
            service: call.method.service_bytes(),
            method: Bytes::copy_from_slice(call.method.name().as_bytes()),
            deadline: call.deadline,
            waker: SendWaker::new(None),
            state: Mutex::new(state),
        });
        stream.start_timer();
        stream
    }

    fn start_timer(self: &Arc<Self>) {
        let Some(deadline) = self.deadline else { return };
        let stream = Arc::downgrade(self);
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            stream.upgrade().into_iter().for_each(|stream| {
                stream.end(&status::deadline_exceeded(), Reason::CANCEL);
            });
        });
        self.state.lock().timer = Some(timer.abort_handle());
    }

    fn label(&self) -> Label {
        Label { connection: self.link.number, stream: i32::try_from(self.id).unwrap_or(i32::MAX) }
    }

    /// Ends the stream here and, by a reset, at the peer. Does nothing if it has ended.
    fn end(&self, status: &GrpcStatus, reason: Reason) {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        let receiver = self.finish(&mut state, Err(status.clone().into()), Some(reason));
        drop(state);
        self.wake(receiver);
    }

    /// Sets the outcome, resets the stream with `reason`, and gives up what belongs to h2. Returns who is to be
    /// woken.
    fn finish(&self, state: &mut State, outcome: Result<(), Error>, reason: Option<Reason>) -> Option<Waker> {
        state.outcome = Some(outcome);
        if let (Some(send), Some(reason)) = (&mut state.send, reason) {
            send.send_reset(reason);
        }
        state.send = None;
        state.incoming = Answer::Ended;
        state.timer.take().into_iter().for_each(|timer| timer.abort());
        self.link.ended(reason.is_some());
        state.waiting.take()
    }

    fn wake(&self, receiver: Option<Waker>) {
        receiver.into_iter().for_each(Waker::wake);
        self.waker.wake_senders();
    }

    /// The server has ended the stream, or it is lost.
    fn finish_received(&self, state: &mut State, outcome: Result<(), Error>, reason: Option<Reason>) {
        // As Kitex does: a server that waits for the rest of the requests learns that there is none.
        let open = (!state.closed).then_some(Reason::NO_ERROR);
        let receiver = self.finish(state, outcome, reason.or(open));
        drop(receiver);
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= clock::now())
    }

    fn failed(&self, error: &h2::Error) -> Error {
        status::failed(error, &self.link.peer, self.is_late()).into()
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let coop = ready!(poll_proceed(cx));
        let mut state = self.state.lock();
        let polled = self.poll_state(&mut state, cx);
        if polled.is_ready() {
            coop.made_progress();
            state.waiting.stop();
            drop(state);
            // An end concerns those who wait to send too.
            if !matches!(polled, Poll::Ready(Ok(Some(_)))) {
                self.waker.wake_senders();
            }
            return polled;
        }
        let timeout = ready!(state.waiting.poll_expired(cx));
        drop(state);
        let status = GrpcStatus::recv_timeout(timeout);
        if !timeout.disable_cancel_remote {
            self.end(&status, Reason::CANCEL);
        }
        Poll::Ready(Err(status.into()))
    }

    fn poll_state(&self, state: &mut State, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(outcome.clone().map(|()| None));
            }
            match &mut state.incoming {
                Answer::Header(response) => {
                    let response = ready!(std::pin::Pin::new(response).poll(cx));
                    self.read_response(state, response);
                }
                Answer::Messages(incoming) => match ready!(incoming.poll_next(cx)) {
                    Event::Message(message) => return Poll::Ready(Ok(Some(message))),
                    event => self.read_end(state, event),
                },
                Answer::Trailers(incoming) => {
                    let trailers = ready!(incoming.body.poll_trailers(cx));
                    self.read_trailers(state, trailers);
                }
                Answer::Ended => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn read_response(&self, state: &mut State, response: Result<Response<h2::RecvStream>, h2::Error>) {
        let (Parts { status, headers, .. }, body) = match response {
            Ok(response) => response.into_parts(),
            Err(error) => return self.finish_received(state, Err(self.failed(&error)), None),
        };
        if let Err(status) = response::check(status, &headers) {
            return self.finish_received(state, Err(status.into()), Some(Reason::PROTOCOL_ERROR));
        }
        if body.is_end_stream() {
            state.header = Some(Metadata::new());
            return self.read_status(state, &headers);
        }
        state.header = Some(header::metadata(&headers));
        state.incoming = Answer::Messages(Incoming::new(body, self.link.config.max_message_size));
    }

    fn read_status(&self, state: &mut State, trailers: &HeaderMap) {
        state.trailer = Some(header::metadata(trailers));
        let outcome = trailer::outcome(trailers);
        let malformed = outcome.as_ref().is_err_and(|error| error.kind() == Some(kerrors::Kind::Protocol));
        self.finish_received(state, outcome, malformed.then_some(Reason::PROTOCOL_ERROR));
    }

    fn read_end(&self, state: &mut State, event: Event) {
        match (event, std::mem::replace(&mut state.incoming, Answer::Ended)) {
            (Event::End, Answer::Messages(incoming)) => state.incoming = Answer::Trailers(incoming),
            (Event::Malformed(error), _) => {
                let status = GrpcStatus::from(error);
                self.finish_received(state, Err(status.into()), Some(Reason::CANCEL));
            }
            (Event::Lost(error), _) => self.finish_received(state, Err(self.failed(&error)), None),
            // There is no message here, and messages come from `Messages` alone.
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

    fn poll_header(&self, cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        let mut state = self.state.lock();
        if let Answer::Header(response) = &mut state.incoming {
            let response = match std::pin::Pin::new(response).poll(cx) {
                Poll::Ready(response) => response,
                Poll::Pending => {
                    state.waiting.wait(cx);
                    return Poll::Pending;
                }
            };
            self.read_response(&mut state, response);
        }
        Poll::Ready(match (&state.header, &state.outcome) {
            (Some(header), _) => Ok(header.clone()),
            (None, Some(Err(error))) => Err(error.clone()),
            (None, _) => Ok(Metadata::new()),
        })
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
        let coop = ready!(poll_proceed(cx));
        let mut state = self.state.lock();
        let limit = self.link.config.max_message_size;
        if let Some(Err(error)) = &state.outcome {
            return Poll::Ready(Err(error.clone()));
        }
        let State { send: Some(send), closed: false, .. } = &mut *state else {
            return Poll::Ready(Err(reset::stream_done().into()));
        };
        if ready!(poll_room(send, &self.waker, cx)).is_err() {
            return Poll::Ready(Err(self.send_error(send)));
        }
        coop.made_progress();
        let encoded = message::encode(message.as_ref(), limit);
        let encoded = encoded.map_err(|error| Error::from(GrpcStatus::from(error)))?;
        match send.send_data(encoded, false) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(self.send_error(send))),
        }
    }

    /// Why nothing can be sent, though the end of the stream was not received yet.
    fn send_error(&self, send: &mut SendStream<Bytes>) -> Error {
        match send.poll_reset(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Reason::NO_ERROR)) | Poll::Pending => reset::stream_done().into(),
            Poll::Ready(Ok(reason)) => reset::at_client(reason.into(), self.is_late()).into(),
            Poll::Ready(Err(error)) => self.failed(&error),
        }
    }

    fn close_send(&self) {
        let mut state = self.state.lock();
        let State { send: Some(send), closed: closed @ false, .. } = &mut *state else { return };
        *closed = true;
        // By a frame of its own: a Kitex server never sees the end in a request's headers. Fails if the stream
        // has ended, which Recv finds.
        let _ = send.send_data(Bytes::new(), true);
    }

    fn cancel_for(&self, reason: &CancelReason) {
        let status = status::canceled(reason);
        self.end(&status, status::reset_code(&status));
    }
}

impl Target for ClientStream {
    fn cancel(&self, _: u64, reason: &CancelReason) {
        self.cancel_for(reason);
    }
}

/// The client's end of one stream, as the seam of `stream-core` wants it.
pub(super) struct Handle(Arc<ClientStream>);

impl Handle {
    pub(super) fn new(stream: Arc<ClientStream>) -> Self {
        Self(stream)
    }
}

impl TransportStream for Handle {
    fn side(&self) -> Side {
        Side::Client
    }

    fn facts(&self) -> StreamFacts {
        let ClientStream { link, service, method, .. } = &*self.0;
        StreamFacts {
            label: self.0.label(),
            service: service.clone(),
            method: method.clone(),
            local: link.local.clone(),
            peer: link.peer.clone(),
        }
    }

    fn label(&self) -> Label {
        self.0.label()
    }

    fn target(&self) -> Option<(Arc<dyn Target>, u64)> {
        Some((self.0.clone(), 0))
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_send(cx, message)
    }

    fn expire_send(&self, timeout: Duration) {
        self.0.end(&status::send_timeout(timeout), Reason::CANCEL);
    }

    fn close_send(&self) {
        self.0.close_send();
    }

    fn abandon_send(&self, reason: &CancelReason) {
        if !self.0.state.lock().closed {
            self.0.cancel_for(reason);
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.0.poll_recv(cx)
    }

    fn stop_recv(&self) {
        self.0.state.lock().waiting.stop();
    }

    fn poll_header(&self, cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        self.0.poll_header(cx)
    }

    fn received_header(&self) -> Option<Metadata> {
        self.0.state.lock().header.clone()
    }

    fn trailer(&self) -> Option<Metadata> {
        self.0.state.lock().trailer.clone()
    }

    fn cancel(&self, reason: &CancelReason) {
        self.0.cancel_for(reason);
    }

    fn outcome(&self) -> Option<Result<(), Error>> {
        self.0.state.lock().outcome.clone()
    }

    fn release(&self) {
        self.0.cancel_for(&CancelReason::Canceled);
    }
}
