//! The server's end of one stream.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use kerrors::{CancelPath, Code, GrpcStatus, Side, StreamError};
use stream_core::call::{CallHead, HandlerError, StreamEnd};
use stream_core::cancel::{Cascade, Label, Reason as CancelReason, Scope};
use stream_core::io::Address;
use stream_core::memory::NO_MEMORY;
use stream_core::stream::WeakStream;
use stream_core::sync::Mutex;
use stream_core::{Metadata, PayloadCodec, StreamPhase, clock};

use super::opening::Opening;
use super::shared::Shared;
use super::state::{After, Outgoing, State};
use crate::compression::Compression;
use crate::held::Holds;
use crate::idle::{self, Idle};
use crate::incoming::{Incoming, Waiting};
use crate::observed::{Observed, Seen, View};
use crate::pending::Pending;
use crate::wake::SendWaker;
use crate::{header, reset, status, trailer};

mod recv;
mod send;

/// The time that the server waits after a client's deadline for the client's reset, which names who canceled.
const GRACE: Duration = Duration::from_millis(100);

/// The server's end of one stream, shared by its handles and the connection's task.
pub(super) struct ServerStream {
    shared: Arc<Shared<ServerStream>>,
    key: usize,
    id: u32,
    service: Bytes,
    method: Bytes,
    source: String,
    codec: PayloadCodec,
    /// The encoding of the responses.
    answer: Option<Compression>,
    timeout: Option<Duration>,
    waker: Arc<SendWaker>,
    state: Mutex<State>,
}

impl ServerStream {
    pub(super) fn new(
        shared: Arc<Shared<ServerStream>>,
        key: usize,
        opening: Opening,
        body: RecvStream,
        respond: Option<SendResponse<Bytes>>,
    ) -> Arc<Self> {
        let Opening { head, codec, compression, answer, source, timeout } = opening;
        let (service, method) = (head.service.clone(), head.method.clone());
        let id = body.stream_id().as_u32();
        let waker = SendWaker::new(shared.watch.clone(), key);
        let state = Mutex::new(State {
            head: Some(Box::new(head)),
            scope: None,
            outgoing: respond.map_or(Outgoing::Ended, Outgoing::Header),
            pending: Pending::default(),
            incoming: Some(Incoming::new(body, shared.config.max_message_size, compression)),
            waiting: Waiting::new(shared.recv_timeout),
            header: Metadata::new(),
            received: None,
            outcome: None,
            finished: None,
            deadline: None,
            observed: Observed::default(),
        });
        Arc::new(Self { shared, key, id, service, method, source, codec, answer, timeout, waker, state })
    }

    /// Returns the names of the service and of the method.
    pub(super) fn names(&self) -> (Bytes, Bytes) {
        (self.service.clone(), self.method.clone())
    }

    /// Returns the address of this end.
    pub(super) fn local(&self) -> &Address {
        &self.shared.local
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn codec(&self) -> PayloadCodec {
        self.codec
    }

    pub(super) fn label(&self) -> Label {
        Label { connection: self.shared.number, stream: i32::try_from(self.id).unwrap_or(i32::MAX) }
    }

    /// Checks whether the client has reset the stream or the connection was lost; registers with h2 to be
    /// woken.
    pub(super) fn look(&self) {
        let mut state = self.state.lock();
        let status = match self.poll_reset(&mut state) {
            Poll::Pending => return,
            Poll::Ready(Ok(reason)) => {
                let status = reset::at_server(reason.into(), &self.source);
                let origin = self.shared.origins.take(self.id);
                self.shared.resets.fetch_add(1, Ordering::Relaxed);
                origin.into_iter().fold(status, GrpcStatus::with_origin)
            }
            Poll::Ready(Err(_)) => self.connection_closed(),
        };
        let after = state.end(status);
        state.give_up();
        drop(state);
        self.act(after);
    }

    fn poll_reset(&self, state: &mut State) -> Poll<Result<Reason, h2::Error>> {
        let waker = Waker::from(self.waker.clone());
        let mut cx = Context::from_waker(&waker);
        match &mut state.outgoing {
            Outgoing::Header(respond) => respond.poll_reset(&mut cx),
            Outgoing::Messages(send) => send.poll_reset(&mut cx),
            Outgoing::Ended => Poll::Pending,
        }
    }

    /// Returns `status`, which arose here, with what TTHeader Streaming says of it.
    fn explained(&self, status: GrpcStatus, origin: StreamError) -> GrpcStatus {
        if self.shared.config.cancel_origin { status.with_origin(origin) } else { status }
    }

    fn connection_closed(&self) -> GrpcStatus {
        self.explained(reset::connection_closed(), StreamError::new(Code::CONNECTION_CLOSED))
    }

    fn handler_returned(&self) -> GrpcStatus {
        let origin = StreamError::new(Code::HANDLER_RETURNED).on_side(Side::Server);
        self.explained(reset::handler_returned(), origin)
    }

    /// The connection is gone; a reset may have come just before.
    pub(super) fn lose_connection(&self) {
        self.look();
        self.end_with(self.connection_closed(), None);
    }

    /// Ends the stream because the exit wait of graceful shutdown is over.
    pub(super) fn shut_down(&self) {
        let status = self.explained(reset::shutdown(), StreamError::new(Code::CONNECTION_CLOSED));
        let path = CancelPath::of(&self.shared.service);
        self.end_with(status, Some((reset::GRACEFUL_SHUTDOWN.into(), path)));
    }

    /// A Send has waited for `timeout`.
    pub(super) fn expire_send(&self, timeout: Duration) {
        let origin = StreamError::send_timeout(Side::Server, timeout);
        self.end_by_timeout(status::send_timeout(timeout), origin);
    }

    fn end_by_timeout(&self, status: GrpcStatus, origin: StreamError) {
        self.end_with(self.explained(status, origin), Some((Reason::CANCEL, CancelPath::of(""))));
    }

    /// Ends the stream before its handler has returned; resets it with a code, and the path for the client.
    pub(super) fn end_with(&self, status: GrpcStatus, reset: Option<(Reason, CancelPath)>) {
        let mut state = self.state.lock();
        if state.finished.is_some() || state.outcome.is_some() {
            return;
        }
        let origin = status.origin().cloned();
        let after = state.end(status);
        if let Some((reason, path)) = reset {
            origin.into_iter().for_each(|origin| self.shared.origins.send(self.id, &origin, &path));
            state.reset(reason);
        }
        state.give_up();
        drop(state);
        self.act(after);
    }

    /// The request has trailers, which are not of gRPC: resets the stream, which frees them.
    pub(super) fn end_at_trailers(&self) {
        let mut state = self.state.lock();
        if state.finished.is_some() {
            return;
        }
        let text = "request with trailers";
        let origin = StreamError::new(Code::ILLEGAL_FRAME).on_side(Side::Server).with_cause(text);
        // A client that has us reset streams costs what one does that resets them.
        self.shared.resets.fetch_add(1, Ordering::Relaxed);
        let after = state.end(self.explained(GrpcStatus::protocol(text), origin));
        state.reset(Reason::PROTOCOL_ERROR);
        state.give_up();
        drop(state);
        self.act(after);
    }

    /// Ends the stream for its handler because the client's deadline has passed and no reset has come. The
    /// handler may still respond.
    fn expire(&self) {
        let mut state = self.state.lock();
        if state.finished.is_some() || state.outcome.is_some() {
            return;
        }
        state.outcome = Some(status::deadline_exceeded());
        let ended = Some((state.observed.held(), status::deadline_exceeded()));
        let after = After { receiver: state.waiting.take(), ended, ..After::default() };
        let scope = state.scope.clone();
        drop(state);
        scope.into_iter().for_each(|scope| scope.cancel(&CancelReason::DeadlineExceeded));
        self.act(after);
    }

    fn act(&self, after: After) {
        let After { cascade, receiver, ended } = after;
        let received = clock::now();
        cascade.into_iter().for_each(Cascade::run);
        if let Some((Some(stream), status)) = ended {
            stream.record_cancel(status, received);
        }
        receiver.into_iter().for_each(Waker::wake);
        self.waker.wake_senders();
    }

    /// Returns the head of the stream; `None` if it has already ended.
    pub(super) fn begin(self: &Arc<Self>, scope: &Scope) -> Option<CallHead> {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            drop(state);
            self.shared.remove(self.key, self);
            return None;
        }
        state.scope = Some(scope.clone());
        idle::watch(self, self.shared.config.stream_idle_timeout);
        state.deadline = self.timeout.map(|timeout| {
            let stream = Arc::downgrade(self);
            let timer = async move {
                tokio::time::sleep(timeout.saturating_add(GRACE)).await;
                stream.upgrade().into_iter().for_each(|stream| stream.expire());
            };
            tokio::spawn(timer).abort_handle()
        });
        state.head.take().map(|head| *head)
    }

    /// Keeps how to find the stream's info, for views of open streams and records of cancels.
    pub(super) fn attach(&self, stream: WeakStream) {
        self.state.lock().observed.stream = Some(stream);
    }

    pub(super) fn shared(&self) -> &Shared<Self> {
        &self.shared
    }

    /// Returns what ended the stream before its handler returned.
    pub(super) fn outcome(&self) -> Option<GrpcStatus> {
        self.state.lock().outcome.clone()
    }

    /// No handle is left.
    pub(super) fn release(&self) {
        self.shared.remove(self.key, self);
    }

    /// Sends the trailers of a handler that has returned, and cancels its scope.
    pub(super) fn finish(&self, end: StreamEnd, scope: &Scope) {
        let StreamEnd { trailer, error, .. } = end;
        let mut trailers = HeaderMap::new();
        header::put_metadata(&mut trailers, &trailer);
        trailer::put_status(&mut trailers, error.as_ref(), self.shared.config.status_style);
        let mut state = self.state.lock();
        if state.finished.is_some() {
            return;
        }
        let returned = self.handler_returned();
        state.finished = Some(returned.clone());
        self.put_trailers(&mut state, trailers);
        state.give_up();
        let after = After { receiver: state.waiting.take(), ..After::default() };
        drop(state);
        self.shared.remove(self.key, self);
        scope.cancel(&CancelReason::Foreign(Arc::new(returned)));
        self.act(after);
    }

    /// Refuses a stream that has waited for a handler, which was to have `scope`. Does nothing if it has ended.
    pub(super) fn refuse_overloaded(&self, error: &StreamError, scope: &Scope) {
        let mut state = self.state.lock();
        if state.finished.is_none() && state.outcome.is_none() {
            if self.shared.config.cancel_origin {
                // Goes before the reset, which has no text.
                self.shared.origins.send(self.id, error, &CancelPath::of(""));
            }
            state.reset(Reason::REFUSED_STREAM);
            state.outgoing = Outgoing::Ended;
        }
        drop(state);
        self.finish(StreamEnd::default(), scope);
    }

    /// Responds to a stream that no handler serves.
    pub(super) fn refuse(self: &Arc<Self>, error: &HandlerError) {
        let scope = Scope::new();
        if self.begin(&scope).is_some() {
            self.finish(StreamEnd { error: Some(error.clone()), ..StreamEnd::default() }, &scope);
        }
    }
}

impl View for ServerStream {
    fn seen(&self) -> Seen {
        let state = self.state.lock();
        let requests_ended = state.incoming.as_ref().is_none_or(|incoming| incoming.body.is_end_stream());
        let phase = match requests_ended {
            _ if state.finished.is_some() || state.outcome.is_some() => StreamPhase::Ended,
            true => StreamPhase::HalfClosed,
            false => StreamPhase::Open,
        };
        state.observed.seen(phase)
    }
}

impl Holds for ServerStream {
    fn held(&self) -> usize {
        let mut state = self.state.lock();
        let received = state.incoming.as_mut().map_or(0, Incoming::held);
        received.saturating_add(state.pending.len())
    }

    fn unsent(&self) -> usize {
        let state = self.state.lock();
        // Of a stream that has ended, nothing more can be dropped.
        if let Outgoing::Ended = state.outgoing { 0 } else { state.pending.unsent() }
    }

    fn shed(&self) {
        let origin = StreamError::new(Code::SLOW_CONSUMER).with_cause(NO_MEMORY).on_side(Side::Server);
        let status = self.explained(status::no_memory(), origin);
        self.end_with(status, Some((Reason::ENHANCE_YOUR_CALM, CancelPath::of(""))));
        // The handler had returned before.
        let incoming = self.state.lock().incoming.take();
        drop(incoming);
    }
}

impl Idle for ServerStream {
    fn messages(&self) -> Option<u64> {
        let state = self.state.lock();
        let ended = state.outcome.is_some() || state.finished.is_some();
        (!ended).then(|| state.observed.messages())
    }

    fn expire(&self, timeout: Duration) {
        self.end_by_timeout(status::idle_timeout(timeout), StreamError::idle_timeout(Side::Server, timeout));
    }
}
