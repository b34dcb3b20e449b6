//! The server's end of one stream.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use kerrors::{Error, GrpcStatus, Side};
use stream_core::call::{CallHead, HandlerError, StreamEnd};
use stream_core::cancel::{Cascade, Label, Reason as CancelReason, Scope};
use stream_core::observe::StreamFacts;
use stream_core::rt::poll_proceed;
use stream_core::stream::TransportStream;
use stream_core::sync::Mutex;
use stream_core::{Message, Metadata, PayloadCodec};
use tokio::task::AbortHandle;

use super::shared::Shared;
use crate::incoming::{Event, Incoming, Waiting};
use crate::wake::{SendWaker, poll_room};
use crate::{header, message, reset, status, trailer};

/// A request, read.
pub(super) struct Opening {
    pub(super) head: CallHead,
    pub(super) codec: PayloadCodec,
    /// The name of the client's service, for the text of a cancel.
    pub(super) source: String,
    pub(super) timeout: Option<Duration>,
}

/// How long a client's deadline is left to the client: its reset says who canceled.
const GRACE: Duration = Duration::from_millis(100);

/// What the connection's task found of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// It goes on, or had ended before.
    Unchanged,
    /// Its client has reset it.
    Reset,
    /// Its connection is lost.
    Lost,
}

/// The server's end of one stream, shared by its handles and the connection's task.
pub(super) struct ServerStream {
    shared: Arc<Shared<ServerStream>>,
    key: usize,
    id: u32,
    service: Bytes,
    method: Bytes,
    source: String,
    codec: PayloadCodec,
    timeout: Option<Duration>,
    waker: Arc<SendWaker>,
    state: Mutex<State>,
}

struct State {
    head: Option<CallHead>,
    scope: Option<Scope>,
    outgoing: Outgoing,
    incoming: Option<Incoming>,
    waiting: Waiting,
    header: Metadata,
    /// What Recv returns from now on.
    received: Option<Result<(), Error>>,
    /// What ended the stream before its handler returned.
    outcome: Option<GrpcStatus>,
    finished: bool,
    deadline: Option<AbortHandle>,
}

/// The direction to the client.
enum Outgoing {
    /// The header was not sent.
    Header(SendResponse<Bytes>),
    Messages(SendStream<Bytes>),
    /// The trailers were sent, or the stream is gone.
    Ended,
}

/// What is to be done once the lock of a stream is released.
#[derive(Default)]
#[must_use]
struct After {
    cascade: Option<Cascade>,
    receiver: Option<Waker>,
}

impl ServerStream {
    pub(super) fn new(
        shared: Arc<Shared<ServerStream>>,
        key: usize,
        opening: Opening,
        body: RecvStream,
        respond: Option<SendResponse<Bytes>>,
    ) -> Arc<Self> {
        let Opening { head, codec, source, timeout } = opening;
        let (service, method) = (head.service.clone(), head.method.clone());
        let id = body.stream_id().as_u32();
        let waker = SendWaker::new(Some((shared.watch.clone(), key)));
        let state = Mutex::new(State {
            head: Some(head),
            scope: None,
            outgoing: respond.map_or(Outgoing::Ended, Outgoing::Header),
            incoming: Some(Incoming::new(body, shared.config.max_message_size)),
            waiting: Waiting::new(shared.recv_timeout),
            header: Metadata::new(),
            received: None,
            outcome: None,
            finished: false,
            deadline: None,
        });
        Arc::new(Self { shared, key, id, service, method, source, codec, timeout, waker, state })
    }

    /// Returns the names of the service and of the method.
    pub(super) fn names(&self) -> (Bytes, Bytes) {
        (self.service.clone(), self.method.clone())
    }

    pub(super) fn codec(&self) -> PayloadCodec {
        self.codec
    }

    pub(super) fn label(&self) -> Label {
        Label { connection: self.shared.number, stream: i32::try_from(self.id).unwrap_or(i32::MAX) }
    }

    /// Looks whether the client has reset the stream or the connection is lost; asks h2 to wake on that.
    pub(super) fn look(&self) -> Watched {
        let mut state = self.state.lock();
        let (watched, status) = match self.poll_reset(&mut state) {
            Poll::Pending => return Watched::Unchanged,
            Poll::Ready(Ok(reason)) => (Watched::Reset, reset::at_server(reason.into(), &self.source)),
            Poll::Ready(Err(_)) => (Watched::Lost, reset::connection_closed()),
        };
        let after = state.end(status);
        state.give_up();
        drop(state);
        self.act(after);
        watched
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

    /// The connection is gone.
    pub(super) fn lose_connection(&self) {
        self.end_with(reset::connection_closed(), None);
    }

    /// The server's exit wait is over.
    pub(super) fn shut_down(&self) {
        self.end_with(reset::shutdown(), Some(reset::GRACEFUL_SHUTDOWN.into()));
    }

    /// Ends the stream under its handler; resets it with `reason`.
    fn end_with(&self, status: GrpcStatus, reason: Option<Reason>) {
        let mut state = self.state.lock();
        if state.finished || state.outcome.is_some() {
            return;
        }
        let after = state.end(status);
        if let Some(reason) = reason {
            state.reset(reason);
        }
        state.give_up();
        drop(state);
        self.act(after);
    }

    /// The client's deadline passed a while ago, and its reset has not come. The handler may still answer.
    fn expire(&self) {
        let mut state = self.state.lock();
        if state.finished || state.outcome.is_some() {
            return;
        }
        state.outcome = Some(status::deadline_exceeded());
        let after = After { receiver: state.waiting.take(), ..After::default() };
        let scope = state.scope.clone();
        drop(state);
        scope.into_iter().for_each(|scope| scope.cancel(&CancelReason::DeadlineExceeded));
        self.act(after);
    }

    fn act(&self, after: After) {
        let After { cascade, receiver } = after;
        cascade.into_iter().for_each(Cascade::run);
        receiver.into_iter().for_each(Waker::wake);
        self.waker.wake_senders();
    }

    /// Returns what the client opened the stream with; `None` if the stream is gone.
    pub(super) fn begin(self: &Arc<Self>, scope: &Scope) -> Option<CallHead> {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            drop(state);
            self.shared.remove(self.key);
            return None;
        }
        state.scope = Some(scope.clone());
        state.deadline = self.timeout.map(|timeout| {
            let stream = Arc::downgrade(self);
            let timer = async move {
                tokio::time::sleep(timeout.saturating_add(GRACE)).await;
                stream.upgrade().into_iter().for_each(|stream| stream.expire());
            };
            tokio::spawn(timer).abort_handle()
        });
        state.head.take()
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let coop = ready!(poll_proceed(cx));
        let mut state = self.state.lock();
        if let Some(ended) = state.ended_recv() {
            return Poll::Ready(ended);
        }
        let Some(incoming) = &mut state.incoming else { return Poll::Ready(Ok(None)) };
        let event = match incoming.poll_next(cx) {
            Poll::Ready(event) => event,
            Poll::Pending => {
                let timeout = ready!(state.waiting.poll_expired(cx));
                let status = GrpcStatus::recv_timeout(timeout);
                drop(state);
                if !timeout.disable_cancel_remote {
                    self.end_with(status.clone(), Some(Reason::CANCEL));
                }
                return Poll::Ready(Err(status.into()));
            }
        };
        coop.made_progress();
        state.waiting.stop();
        let received = match event {
            Event::Message(message) => return Poll::Ready(Ok(Some(message))),
            Event::End => Ok(()),
            Event::Malformed(error) => Err(GrpcStatus::from(error).into()),
            Event::Lost(_) => {
                drop(state);
                self.look();
                let ended = self.state.lock().ended_recv();
                return Poll::Ready(ended.unwrap_or_else(|| Err(reset::connection_closed().into())));
            }
        };
        state.incoming = None;
        state.received = Some(received.clone());
        Poll::Ready(received.map(|()| None))
    }

    pub(super) fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
        let coop = ready!(poll_proceed(cx));
        let mut state = self.state.lock();
        state.ended_send()?;
        self.put_header(&mut state);
        let room = match &mut state.outgoing {
            Outgoing::Messages(send) => ready!(poll_room(send, &self.waker, cx)),
            Outgoing::Header(_) | Outgoing::Ended => Err(crate::wake::Ended),
        };
        if room.is_err() {
            drop(state);
            self.look();
            let ended = self.state.lock().ended_send();
            return Poll::Ready(ended.and_then(|()| Err(reset::stream_done().into())));
        }
        coop.made_progress();
        let encoded = message::encode(message.as_ref(), self.shared.config.max_message_size);
        let encoded = encoded.map_err(|error| Error::from(GrpcStatus::from(error)))?;
        if let Outgoing::Messages(send) = &mut state.outgoing {
            // Fails if the stream was reset, which the connection's task finds.
            let _ = send.send_data(encoded, false);
        }
        Poll::Ready(Ok(()))
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
            let response = self.response(&state.header);
            // Fails if the stream was reset, which the connection's task finds.
            if let Ok(send) = respond.send_response(response, false) {
                state.outgoing = Outgoing::Messages(send);
                // From now on h2 is asked at another handle.
                let _ = self.poll_reset(state);
            }
        }
    }

    pub(super) fn set_header(&self, header: &Metadata) -> bool {
        let mut state = self.state.lock();
        let open = matches!(state.outgoing, Outgoing::Header(_));
        if open {
            let pairs = header.iter().map(|(key, value)| (key.clone(), value.clone()));
            state.header.extend(pairs);
        }
        open
    }

    fn send_header(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.ended_send()?;
        self.put_header(&mut state);
        Ok(())
    }

    /// The handler has returned: sends trailers, and cancels its scope.
    pub(super) fn finish(&self, end: StreamEnd, scope: &Scope) {
        let StreamEnd { trailer, error, .. } = end;
        let mut trailers = HeaderMap::new();
        header::put_metadata(&mut trailers, &trailer);
        trailer::put_status(&mut trailers, error.as_ref());
        let mut state = self.state.lock();
        if state.finished {
            return;
        }
        state.finished = true;
        self.put_trailers(&mut state, trailers);
        state.give_up();
        let after = After { receiver: state.waiting.take(), ..After::default() };
        drop(state);
        self.shared.remove(self.key);
        scope.cancel(&CancelReason::Foreign(Arc::new(reset::handler_returned())));
        self.act(after);
    }

    fn put_trailers(&self, state: &mut State, trailers: HeaderMap) {
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
                let _ = send.send_trailers(trailers);
            }
            Outgoing::Ended => {}
        }
    }

    /// Answers a stream that no handler serves.
    pub(super) fn refuse(self: &Arc<Self>, error: &HandlerError) {
        let scope = Scope::new();
        if self.begin(&scope).is_some() {
            self.finish(StreamEnd { error: Some(error.clone()), ..StreamEnd::default() }, &scope);
        }
    }
}

impl State {
    /// Ends the stream under its handler, whose scope is closed.
    fn end(&mut self, status: GrpcStatus) -> After {
        if self.finished || self.outcome.is_some() {
            return After::default();
        }
        let reason = CancelReason::Foreign(Arc::new(status.clone()));
        self.outcome = Some(status);
        let cascade = self.scope.as_ref().map(|scope| scope.close(&reason));
        After { cascade, receiver: self.waiting.take() }
    }

    /// Drops what belongs to h2.
    fn give_up(&mut self) {
        self.incoming = None;
        self.outgoing = Outgoing::Ended;
        self.deadline.take().into_iter().for_each(|timer| timer.abort());
    }

    fn reset(&mut self, reason: Reason) {
        match &mut self.outgoing {
            Outgoing::Header(respond) => respond.send_reset(reason),
            Outgoing::Messages(send) => send.send_reset(reason),
            Outgoing::Ended => {}
        }
    }

    fn ended_send(&self) -> Result<(), Error> {
        match &self.outcome {
            Some(status) => Err(status.clone().into()),
            None if self.finished => Err(reset::handler_returned().into()),
            None => Ok(()),
        }
    }

    fn ended_recv(&self) -> Option<Result<Option<Bytes>, Error>> {
        if let Err(error) = self.ended_send() {
            return Some(Err(error));
        }
        self.received.clone().map(|received| received.map(|()| None))
    }
}

/// Answers a request that is no call.
pub(super) fn refuse(mut respond: SendResponse<Bytes>, status: &GrpcStatus) {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE, header::content_type(PayloadCodec::Thrift));
    trailer::put_plain(response.headers_mut(), status);
    // Fails if the client has reset the stream meanwhile.
    let _ = respond.send_response(response, true);
}

/// The server's end of one stream, as the seam of `stream-core` wants it.
pub(super) struct Handle(Arc<ServerStream>);

impl Handle {
    pub(super) fn new(stream: Arc<ServerStream>) -> Self {
        Self(stream)
    }
}

impl TransportStream for Handle {
    fn side(&self) -> Side {
        Side::Server
    }

    fn facts(&self) -> StreamFacts {
        let (service, method) = self.0.names();
        let Shared { local, peer, .. } = &*self.0.shared;
        StreamFacts { label: self.0.label(), service, method, local: local.clone(), peer: peer.clone() }
    }

    fn label(&self) -> Label {
        self.0.label()
    }

    fn begin(&self, scope: &Scope) -> Option<CallHead> {
        self.0.begin(scope)
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_send(cx, message)
    }

    fn expire_send(&self, timeout: Duration) {
        self.0.end_with(status::send_timeout(timeout), Some(Reason::CANCEL));
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.0.poll_recv(cx)
    }

    fn stop_recv(&self) {
        self.0.state.lock().waiting.stop();
    }

    fn discard_incoming(&self) {
        self.0.state.lock().incoming = None;
    }

    fn set_header(&self, header: &Metadata) -> bool {
        self.0.set_header(header)
    }

    fn send_header(&self) -> Result<(), Error> {
        self.0.send_header()
    }

    fn cancel(&self, _: &CancelReason) {}

    fn finish(&self, end: StreamEnd, scope: &Scope) {
        self.0.finish(end, scope);
    }

    fn outcome(&self) -> Option<Result<(), Error>> {
        self.0.state.lock().outcome.clone().map(|status| Err(status.into()))
    }

    fn release(&self) {
        self.0.shared.remove(self.0.key);
    }
}
