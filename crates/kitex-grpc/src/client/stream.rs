//! The client's end of one stream.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use http::response::Parts;
use http::{HeaderMap, Response};
use kerrors::{CancelPath, Error, GrpcStatus, Side, StreamError};
use stream_core::call::OutgoingCall;
use stream_core::cancel::{Label, Reason as CancelReason, Target};
use stream_core::clock;
use stream_core::observe::StreamFacts;
use stream_core::rt::poll_proceed;
use stream_core::stream::WeakStream;
use stream_core::sync::{Mutex, MutexGuard};
use stream_core::{Message, Metadata, Method, Retryable, StreamPhase, UNREAD_FOR};
use tokio::task::AbortHandle;

use super::link::{Link, Watched};
use crate::GrpcConfig;
use crate::idle::{self, Idle};
use crate::incoming::{Event, Incoming, Waiting};
use crate::message::Received;
use crate::observed::{Observed, Seen, View, record};
use crate::pending::Pending;
use crate::wake::SendWaker;
use crate::{header, message, reset, response, status, trailer};

mod held;

/// The client's end of one stream, shared by its handles, its scope and its timer.
pub(super) struct ClientStream {
    link: Arc<Link>,
    /// Its place among the connection's streams.
    key: usize,
    id: u32,
    method: Method,
    /// The name of the calling service; empty if it has none.
    caller: Arc<str>,
    deadline: Option<Instant>,
    /// What was left until the deadline when the stream was opened.
    timeout: Option<Duration>,
    opened: Instant,
    /// The number of reads from the peer when it was opened.
    reads: u64,
    waker: Arc<SendWaker>,
    state: Mutex<State>,
}

struct State {
    /// `None` once the stream has ended.
    send: Option<SendStream<Bytes>>,
    /// Encoded messages that the connection's task is about to pass to h2.
    pending: Pending,
    /// The connection's task is woken by the end of this direction. From the first message on.
    is_watched: bool,
    /// The connection's task has found that end: a reset, or the loss of the connection.
    is_refused: bool,
    /// This direction has ended.
    closed: bool,
    incoming: ResponseState,
    header: Option<Metadata>,
    trailer: Option<Metadata>,
    end: End,
    waiting: Waiting,
    timer: Option<AbortHandle>,
    observed: Observed,
    /// Whether the stream, once it has ended, may be opened again.
    retryable: Retryable,
}

/// The end of a stream. An outcome is final.
enum End {
    None,
    /// A Send has returned this as the end of the stream, which Recv has not come to yet.
    Reported(Error),
    Outcome(Result<(), Error>),
}

impl End {
    fn outcome(&self) -> Option<&Result<(), Error>> {
        match self {
            Self::Outcome(outcome) => Some(outcome),
            Self::None | Self::Reported(_) => None,
        }
    }

    fn is_outcome(&self) -> bool {
        self.outcome().is_some()
    }

    /// A Send returns `error`. Does nothing if there is an outcome.
    fn report(&mut self, error: &Error) {
        if !self.is_outcome() {
            *self = Self::Reported(error.clone());
        }
    }
}

/// The state of the direction from the server.
enum ResponseState {
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
        let reads = link.wire.reads();
        let state = State {
            send: Some(send),
            pending: Pending::default(),
            is_watched: false,
            is_refused: false,
            closed: false,
            incoming: ResponseState::Header(response),
            header: None,
            trailer: None,
            end: End::None,
            waiting: Waiting::new(call.recv_timeout),
            timer: None,
            observed: Observed::default(),
            retryable: Retryable::Never,
        };
        let stream = Arc::new_cyclic(|this| {
            let key = link.add(Weak::<Self>::clone(this));
            let waker = SendWaker::new(link.watch.clone(), key);
            Self {
                key,
                link,
                id,
                method: call.method.clone(),
                caller: call.caller.clone(),
                deadline: call.deadline,
                timeout: call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now())),
                opened: clock::now(),
                reads,
                waker,
                state: Mutex::new(state),
            }
        });
        stream.start_timer();
        idle::watch(&stream, stream.link.config.stream_idle_timeout);
        stream
    }

    pub(super) fn facts(&self) -> StreamFacts {
        let Self { link, method, caller, .. } = self;
        let name = Bytes::copy_from_slice(method.name().as_bytes());
        StreamFacts::new(self.label(), link.local.clone(), link.peer.clone())
            .with_names(method.service_bytes(), name)
            .with_own_service(caller.clone())
    }

    /// Keeps how to find the stream's info, for views of open streams and records of cancels.
    pub(super) fn attach(&self, stream: WeakStream) {
        if self.method.mode().is_stream() {
            self.state.lock().observed.stream = Some(stream);
        }
    }

    fn start_timer(self: &Arc<Self>) {
        let Some(deadline) = self.deadline else { return };
        let stream = Arc::downgrade(self);
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            stream
                .upgrade()
                .into_iter()
                .for_each(|stream| stream.cancel_for(&CancelReason::DeadlineExceeded));
        });
        self.state.lock().timer = Some(timer.abort_handle());
    }

    pub(super) fn label(&self) -> Label {
        Label { connection: self.link.number, stream: i32::try_from(self.id).unwrap_or(i32::MAX) }
    }

    /// Ends the stream here and, by a reset, at the peer, which reads the status's origin and `path` if it is a peer of
    /// this crate. Does nothing if the stream has ended. `begins`: what ends begins here, so that it is recorded as a
    /// cancel.
    fn end(&self, status: GrpcStatus, path: &CancelPath, begins: bool) {
        let mut state = self.state.lock();
        // A Send that has failed has said how the stream has ended: that does not change.
        let reported = match &state.end {
            End::Outcome(_) => return,
            End::Reported(error) => Some(error.clone()),
            End::None => None,
        };
        if let Some(origin) = status.origin().filter(|_| self.link.config.cancel_origin) {
            // Goes before the reset.
            self.link.origins.send(self.id, origin, path);
        }
        let code = status::reset_code(&status);
        let begins = begins && reported.is_none();
        let outcome = reported.unwrap_or_else(|| status.clone().into());
        let receiver = self.finish(&mut state, Err(outcome), Some(code));
        let stream = state.observed.held();
        drop(state);
        if begins {
            record(stream.as_ref(), status, clock::now());
        }
        self.wake(receiver);
    }

    /// Ends the stream because a timeout of this end has passed.
    fn expire(&self, status: GrpcStatus) {
        self.end(status, &CancelPath::of(&self.caller), true);
    }

    /// Sets the outcome, resets the stream with `reason`, and drops the h2 handles. Returns the waker of the
    /// receiving task.
    fn finish(&self, state: &mut State, outcome: Result<(), Error>, reason: Option<Reason>) -> Option<Waker> {
        state.end = End::Outcome(outcome);
        if let (Some(send), Some(reason)) = (&mut state.send, reason) {
            send.send_reset(reason);
        }
        state.send = None;
        state.pending.clear();
        state.incoming = ResponseState::Ended;
        state.timer.take().into_iter().for_each(|timer| timer.abort());
        self.link.ended(reason.is_some());
        state.waiting.take()
    }

    fn wake(&self, receiver: Option<Waker>) {
        receiver.into_iter().for_each(Waker::wake);
        self.waker.wake_senders();
    }

    /// Ends the stream because the server has ended it, or it was lost.
    fn finish_received(&self, state: &mut State, outcome: Result<(), Error>, reason: Option<Reason>) {
        // As Kitex does: a server that waits for further requests sees the end of the stream.
        let open = (!state.closed).then_some(Reason::NO_ERROR);
        let receiver = self.finish(state, outcome, reason.or(open));
        drop(receiver);
    }

    pub(super) fn expire_send(&self, timeout: Duration) {
        let origin = StreamError::send_timeout(Side::Client, timeout);
        self.expire(status::send_timeout(timeout).with_origin(origin));
    }

    /// Cancels the stream if its direction to the server is still open. A stream that the server has ended, or whose
    /// connection was lost, is not canceled, though nobody has received that end yet: Recv returns it.
    pub(super) fn abandon_send(&self, reason: &CancelReason) {
        let mut state = self.state.lock();
        let State { send: Some(send), closed: false, is_refused: false, .. } = &mut *state else { return };
        let is_refused = self.poll_reset(send).is_ready();
        drop(state);
        if !is_refused {
            self.cancel_for(reason);
        }
    }

    pub(super) fn stop_recv(&self) {
        self.state.lock().waiting.stop();
    }

    pub(super) fn received_header(&self) -> Option<Metadata> {
        self.state.lock().header.clone()
    }

    pub(super) fn trailer(&self) -> Option<Metadata> {
        self.state.lock().trailer.clone()
    }

    pub(super) fn outcome(&self) -> Option<Result<(), Error>> {
        self.state.lock().end.outcome().cloned()
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= clock::now())
    }

    pub(super) fn retryable(&self) -> Retryable {
        self.state.lock().retryable
    }

    /// Returns whether the stream may be opened again if it ends with `error` before any response.
    fn retryable_after(&self, error: &h2::Error) -> Retryable {
        let refused = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        // h2 fails with a GOAWAY the streams above its last one alone.
        let behind_goaway = error.is_go_away() && error.is_remote();
        let wire = &self.link.wire;
        let unread = wire.is_unread()
            && wire.reads() == self.reads
            && clock::now().saturating_duration_since(self.opened) <= UNREAD_FOR;
        match error.is_io() {
            _ if refused || behind_goaway => Retryable::Always,
            true if unread => Retryable::Always,
            true => Retryable::IfIdempotent,
            false => Retryable::Never,
        }
    }

    fn failed(&self, error: &h2::Error) -> Error {
        let status = status::failed(error, &self.link.peer, self.is_late());
        self.with_origin_sent(error.is_reset() && error.is_remote(), status).into()
    }

    /// Adds what the server has sent about its reset, if it was one.
    fn with_origin_sent(&self, was_reset: bool, status: GrpcStatus) -> GrpcStatus {
        let origin = if was_reset { self.link.origins.take(self.id) } else { None };
        origin.into_iter().fold(status, GrpcStatus::with_origin)
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
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
                    let response = ready!(std::pin::Pin::new(response).poll(cx));
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

    fn read_response(&self, state: &mut State, response: Result<Response<h2::RecvStream>, h2::Error>) {
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

    pub(super) fn poll_header(&self, cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        let _replaced;
        let mut state = self.state.lock();
        if let ResponseState::Header(response) = &mut state.incoming {
            let response = match std::pin::Pin::new(response).poll(cx) {
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

    pub(super) fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
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
            self.link.watch.queue(self.key);
        }
        Poll::Ready(Ok(()))
    }

    /// Checks whether the server has reset the stream, or the connection was lost; has the connection's task woken by that.
    fn poll_reset(&self, send: &mut SendStream<Bytes>) -> Poll<Result<Reason, h2::Error>> {
        let waker = Waker::from(self.waker.clone());
        send.poll_reset(&mut Context::from_waker(&waker))
    }

    /// Returns why nothing can be sent: what the server has ended the stream with, if it has sent nothing else, though
    /// nobody has received it yet.
    fn send_error(&self, mut state: MutexGuard<'_, State>) -> Error {
        let mut cx = Context::from_waker(Waker::noop());
        let mut receiver = None;
        // Before the response: one that came before the end is then here, and counts.
        let end = state.send.as_mut().map(|send| send.poll_reset(&mut cx));
        if let ResponseState::Header(response) = &mut state.incoming {
            match std::pin::Pin::new(response).poll(&mut cx) {
                Poll::Ready(response) => self.read_response(&mut state, response),
                // h2 knows one waker: who waits has to ask again.
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

    pub(super) fn close_send(&self) {
        let mut state = self.state.lock();
        let State { send: Some(send), closed: closed @ false, pending, .. } = &mut *state else { return };
        *closed = true;
        pending.send(send);
        // In a separate frame: a Kitex server ignores END_STREAM in a request's headers. Fails if the stream
        // has ended, which Recv reports.
        let _ = send.send_data(Bytes::new(), true);
    }

    pub(super) fn cancel_for(&self, reason: &CancelReason) {
        // Nearly every stream has ended when its handles are dropped.
        if self.state.lock().end.is_outcome() {
            return;
        }
        let (origin, path) = reason.for_stream(&self.caller, self.timeout);
        self.end(status::canceled(reason).with_origin(origin), &path, !reason.is_from_stream());
    }
}

impl Idle for ClientStream {
    fn messages(&self) -> Option<u64> {
        let state = self.state.lock();
        (!state.end.is_outcome()).then(|| state.observed.messages())
    }

    fn expire(&self, timeout: Duration) {
        let origin = StreamError::idle_timeout(Side::Client, timeout);
        self.expire(status::idle_timeout(timeout).with_origin(origin));
    }
}

impl View for ClientStream {
    fn seen(&self) -> Seen {
        let state = self.state.lock();
        let phase = match state.closed {
            _ if state.end.is_outcome() => StreamPhase::Ended,
            true => StreamPhase::HalfClosed,
            false => StreamPhase::Open,
        };
        state.observed.seen(phase)
    }
}

impl Watched for ClientStream {
    fn flush(&self) {
        let mut state = self.state.lock();
        let State { send: Some(send), pending, is_refused, .. } = &mut *state else { return };
        let is_sent = pending.flush(send, &self.waker);
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
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.link.remove(self.key);
    }
}

impl State {
    /// Returns the direction to the server.
    ///
    /// # Errors
    /// It has ended.
    fn open_half(&mut self) -> Result<&mut SendStream<Bytes>, Error> {
        match (self.end.outcome(), &mut self.send, self.closed) {
            (Some(Err(error)), ..) => Err(error.clone()),
            (_, Some(send), false) => Ok(send),
            _ => Err(reset::stream_done(Side::Client).into()),
        }
    }
}

impl Target for ClientStream {
    fn cancel(&self, _: u64, reason: &CancelReason) {
        self.cancel_for(reason);
    }
}
