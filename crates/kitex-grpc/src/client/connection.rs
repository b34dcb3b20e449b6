//! The `Transport` implementation of a client: HTTP/2 connections of a pool, and how they are made.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kerrors::{Code, Error, ErrorKind, GrpcStatus, Side, StreamError};
use stream_core::MemoryBudget;
use stream_core::call::{CallKind, OutgoingCall};
use stream_core::cancel::Reason;
use stream_core::clock;
use stream_core::io::Io;
use stream_core::rt::Timer;
use stream_core::stream::NewStream;
use stream_core::transport::{BoxFuture, Connection, Transport, UnaryPaths, UnaryTransport};

use super::calls::Calls;
use super::handle::Handle;
use super::link::Link;
use super::stream::ClientStream;
use crate::config::{MAX_SEND_BUFFER, PROTOCOL};
use crate::held::{Gauge, Memory};
use crate::keepalive::Keepalive;
use crate::origin::Origins;
use crate::socket::Socket;
use crate::wake::Batch;
use crate::writer::Writer;
use crate::{GrpcConfig, header, status};

/// gRPC for streams and for ping-pong calls.
#[derive(Clone, Debug, Default)]
pub struct GrpcTransport {
    /// Limits of each connection.
    pub connection: GrpcConfig,
    /// The memory that connections may hold.
    pub memory: MemoryBudget,
}

/// How long a new connection waits for the server's settings. It is used without them after that.
const SETTINGS_WAIT: Duration = Duration::from_secs(1);

/// Streams that this end has reset and whose last frames are still on their way, as many as h2 remembers.
const MAX_RESET_STREAMS: usize = 65_536;

impl Transport for GrpcTransport {
    fn connect(&self, io: Io, idle_timeout: Duration) -> BoxFuture<'_, Result<Arc<dyn Connection>, Error>> {
        Box::pin(async move {
            let link = Link::start(io, self.connection.clone(), idle_timeout, &self.memory).await?;
            Ok(link as Arc<dyn Connection>)
        })
    }

    fn protocol(&self, _: CallKind) -> &'static str {
        PROTOCOL
    }

    fn unary(&self, paths: UnaryPaths) -> Arc<dyn UnaryTransport> {
        Arc::new(Calls::new(paths.streams))
    }

    /// Kitex's text is `rpc timeout` for any context that has ended; the code distinguishes the causes.
    fn not_opened(&self, reason: &Reason, call: &OutgoingCall<'_>, timeout: Option<Duration>) -> Error {
        let status = status::canceled(reason);
        let status = match reason {
            Reason::Canceled | Reason::Cause(_) | Reason::DeadlineExceeded => {
                GrpcStatus::new(status.code(), "rpc timeout").with_kind(status.kind()).bare()
            }
            _ => status,
        };
        status.with_origin(reason.for_stream(call.caller, timeout).0).into()
    }
}

impl Link {
    pub(super) async fn start(
        io: Io,
        config: GrpcConfig,
        idle_timeout: Duration,
        memory: &MemoryBudget,
    ) -> Result<Arc<Self>, Error> {
        let (local, peer) = (io.local_addr().clone(), io.peer_addr().clone());
        let origins = Arc::new(Origins::new(Side::Client));
        let socket = Socket::new(io, BytesMut::new(), config.write_timeout, Side::Client, origins.clone());
        let (wire, writer) = (socket.wire(), socket.writer());
        let handshake = builder(&config).handshake(socket).await;
        let (requests, connection) = handshake.map_err(|error| status::lost(&peer, &error))?;
        let memory = Memory::new(memory);
        let link = Self::new([local, peer.clone()], config, idle_timeout, origins, requests, wire, memory);
        // Made before the task, so that whatever ends the task ends the connection.
        tokio::spawn(drive(Guard(link.clone()), connection, writer));
        // Streams opened before the server's settings have arrived would wait inside h2 for others to end.
        tokio::select! {
            biased;
            () = link.wire.first_read() => {}
            () = Connection::closed(&*link) => {}
            () = tokio::time::sleep(SETTINGS_WAIT) => {}
        }
        Ok(link)
    }
}

/// Closes the connection when its task has ended.
struct Guard(Arc<Link>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close();
        // After the connection, which is declared later in the task's function.
        self.0.flush_all();
    }
}

fn builder(config: &GrpcConfig) -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(config.stream_receive_window)
        .initial_connection_window_size(config.receive_window.max(config.stream_receive_window))
        .max_header_list_size(config.max_header_list_size)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(None)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    builder
}

/// Moves the frames of a connection until it is closed.
async fn drive(guard: Guard, mut connection: h2::client::Connection<Socket, Bytes>, writer: Writer) {
    let link = guard.0.clone();
    let mut timer = Timer::default();
    let mut idle = link.idle_due(clock::now());
    let mut keepalive = Keepalive::new(&link.config, connection.ping_pong());
    let mut gauge = Gauge::default();
    let mut batch = Batch::default();
    let mut headers = Vec::new();
    writer.batch();
    let ended = poll_fn(|cx| {
        loop {
            let now = clock::now();
            if idle <= now {
                idle = link.idle_due(now);
            }
            if idle <= now {
                link.retire();
                idle = link.next_idle(now);
            }
            let due = link.close_if_done(cx, now).map_or(idle, |due| due.min(idle));
            if timer.poll_until(Some(due), cx).is_pending() {
                break;
            }
        }
        if let Some(keepalive) = &mut keepalive {
            let has_streams = link.wire.live.load(Ordering::Relaxed) > 0;
            if keepalive.poll(cx, has_streams, &link.origins).is_ready() {
                tracing::debug!(peer = %link.peer, "peer does not answer PING: closing connection");
                return Poll::Ready(Ok(()));
            }
        }
        if batch.waits(&link.watch, link.wire.live.load(Ordering::Relaxed), cx) {
            return Poll::Pending;
        }
        link.wire.begin_turn();
        link.flush_queued();
        let polled = loop {
            let polled = std::pin::Pin::new(&mut connection).poll(cx);
            link.take_headers(&mut headers);
            match polled {
                Poll::Pending if link.flush_queued() || !writer.write_batch(cx) => {}
                polled => break polled,
            }
        };
        if polled.is_pending() {
            link.watch.register(cx);
            let held = || link.all().iter().map(|stream| stream.held()).sum();
            link.memory.set_waiting(|| writer.waiting());
            gauge.poll(cx, &link.memory, link.wire.bytes(), false, || 0, held);
        }
        polled
    });
    if let Err(error) = ended.await {
        if let Some(refused) = status::refused_below(&error) {
            link.close_with(refused);
        }
        tracing::debug!(peer = %link.peer, %error, "connection ended");
    }
}

impl Connection for Link {
    fn poll_open(
        self: Arc<Self>,
        cx: &mut Context<'_>,
        call: &OutgoingCall<'_>,
    ) -> Poll<Result<NewStream, Error>> {
        // A handle of its own: it waits for the stream that it has opened last.
        let Some(mut requests) = self.ask_opener(|requests| requests.clone()) else {
            let closed = GrpcStatus::new(GrpcStatus::UNAVAILABLE, "transport is closing");
            return Poll::Ready(Err(closed.with_kind(ErrorKind::Connection).into()));
        };
        // Ready, or lost: the stream waits for the peer's limit of streams, not its opening.
        std::task::ready!(requests.poll_ready(cx)).map_err(|error| self.failed(&error))?;
        let left = call.wire_deadline.or(call.deadline);
        let left = left.map(|deadline| deadline.saturating_duration_since(clock::now()));
        let Some(mut request) = header::request(call, left, self.config.compression) else {
            let text = format!("{} cannot be called by gRPC: its name is not a valid path", call.method);
            return Poll::Ready(Err(StreamError::new(Code::ILLEGAL_OPERATION).with_cause(text).into()));
        };
        header::check_size(request.headers(), self.config.max_header_list_size)?;
        header::hide_secrets(request.headers_mut());
        let (response, send) = requests.send_request(request, false).map_err(|error| self.failed(&error))?;
        self.wire.live.fetch_add(1, Ordering::Relaxed);
        let stream = ClientStream::start(self, call, response, send);
        Poll::Ready(Ok(NewStream::new(Handle::new(stream))))
    }

    fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = self.ask_opener(|requests| requests.poll_ready(&mut cx));
        matches!(ready, Some(Poll::Ready(Ok(()))))
    }

    fn is_full(&self) -> bool {
        let limit = self.ask_opener(|requests| requests.current_max_send_streams());
        limit.is_some_and(|limit| self.live_streams() >= limit)
    }

    fn is_reusable(&self) -> bool {
        true
    }

    fn live_streams(&self) -> usize {
        self.wire.live.load(Ordering::Relaxed)
    }

    fn lost_at_start(&self) -> Option<Error> {
        if self.origins.has_received() { None } else { self.requests.lock().lost.clone() }
    }

    fn retire(&self) {
        Self::retire(self);
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The sender lives as long as the link.
            let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
        })
    }
}
