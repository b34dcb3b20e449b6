//! The client's end of one stream.

use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, SendStream};
use kerrors::{CancelPath, Error, GrpcStatus, Side, StreamError};
use stream_core::call::OutgoingCall;
use stream_core::cancel::{Label, Reason as CancelReason, Target};
use stream_core::clock;
use stream_core::observe::StreamFacts;
use stream_core::stream::WeakStream;
use stream_core::sync::Mutex;
use stream_core::{Metadata, Method, Retryable, StreamPhase, UNREAD_FOR};

use self::state::{End, ResponseState, State};
use super::link::Link;
use crate::idle::{self, Idle};
use crate::incoming::Waiting;
use crate::observed::{Observed, Seen, View};
use crate::pending::Pending;
use crate::status;
use crate::wake::SendWaker;
use crate::wire::Written;

mod held;
mod recv;
mod send;
mod state;
#[cfg(test)]
mod tests;

/// The client's end of one stream, shared by its handles, its scope and its timer.
pub(super) struct ClientStream {
    link: Arc<Link>,
    id: u32,
    method: Method,
    /// The name of the calling service; empty if it has none.
    caller: Arc<str>,
    deadline: Option<Instant>,
    /// What was left until the deadline when the stream was opened.
    timeout: Option<Duration>,
    opened: Instant,
    waker: Arc<SendWaker>,
    state: Mutex<State>,
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
            link.add(id, Weak::<Self>::clone(this));
            let waker = SendWaker::new(link.watch.clone(), key_of(id));
            Self {
                link,
                id,
                method: call.method.clone(),
                caller: call.caller.clone(),
                deadline: call.deadline,
                timeout: call.deadline.map(|deadline| deadline.saturating_duration_since(clock::now())),
                opened: clock::now(),
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
        if begins && let Some(stream) = &stream {
            stream.record_cancel(status, clock::now());
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
        match error.is_io() {
            _ if refused || behind_goaway => Retryable::Always,
            true if self.is_unread() => Retryable::Always,
            true => Retryable::IfIdempotent,
            false => Retryable::Never,
        }
    }

    /// Returns whether the server cannot have read the opening, now that the connection is lost.
    fn is_unread(&self) -> bool {
        let wire = &self.link.wire;
        match wire.opening(self.id) {
            Written::No => true,
            Written::Last => {
                wire.is_unread() && clock::now().saturating_duration_since(self.opened) <= UNREAD_FOR
            }
            Written::Followed => false,
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

    pub(super) fn cancel_for(&self, reason: &CancelReason) {
        // Nearly every stream has ended when its handles are dropped.
        if self.state.lock().end.is_outcome() {
            return;
        }
        let (origin, path) = reason.for_stream(&self.caller, self.timeout);
        self.end(status::canceled(reason).with_origin(origin), &path, !reason.is_from_stream());
    }
}

/// Returns what the connection's task knows the stream by.
fn key_of(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
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

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.link.remove(self.id);
    }
}

impl Target for ClientStream {
    fn cancel(&self, _: u64, reason: &CancelReason) {
        self.cancel_for(reason);
    }
}
