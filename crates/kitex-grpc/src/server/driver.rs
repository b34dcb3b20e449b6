//! Drives one connection: accepts its streams, checks those that may have been reset, and shuts down
//! gracefully.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::Connection;
use kerrors::Side;
use stream_core::cancel::Label;
use stream_core::clock;
use stream_core::handler::ServerHandle;
use stream_core::log_limit::LogLimit;
use stream_core::memory::{NO_MEMORY, Pressure};
use stream_core::observe::Listed;
use stream_core::rt::Timer;
use stream_core::sync::Mutex;
use stream_core::transport::Accepted;
use tokio::sync::Notify;

use super::accept::accept;
use super::shared::Shared;
use super::stream::ServerStream;
use crate::GrpcConfig;
use crate::bucket::Bucket;
use crate::config::MAX_SEND_BUFFER;
use crate::held::{Gauge, Holds, Memory};
use crate::keepalive::Keepalive;
use crate::origin::Origins;
use crate::socket::Socket;
use crate::wake::Batch;
use crate::wire::Wire;
use crate::writer::Writer;

/// Serves a connection until it is closed, or the server shuts down.
pub(super) async fn serve_connection(
    accepted: Accepted,
    server: ServerHandle,
    config: GrpcConfig,
    too_many_resets: Arc<LogLimit>,
) -> io::Result<()> {
    let Accepted { io, read } = accepted;
    let shared = Arc::new(Shared {
        number: Label::next_connection(),
        own_service: server.config().service.clone(),
        local: io.local_addr().clone(),
        peer: io.peer_addr().clone(),
        watch: Arc::default(),
        streams: Mutex::default(),
        max_streams: server.config().max_concurrent_streams,
        recv_timeout: server.config().recv_timeout,
        config,
        service: server.config().service.clone(),
        memory: Memory::new(&server.config().memory),
        resets: AtomicUsize::new(0),
        empty: Notify::new(),
        origins: Arc::new(Origins::new(Side::Server)),
    });
    shared.memory.register(Arc::<Shared<ServerStream>>::downgrade(&shared));
    let _listed = Listed::new(Arc::<Shared<ServerStream>>::downgrade(&shared));
    let socket = Socket::new(io, read, shared.config.write_timeout, Side::Server, shared.origins.clone());
    let (wire, writer) = (socket.wire(), socket.writer());
    let handshake = tokio::time::timeout(server.config().preface_timeout, builder(&shared).handshake(socket));
    let connection = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    let connection = connection.map_err(io::Error::other)?;
    let mut driver = Driver::new(connection, (wire, writer), shared.clone(), server.clone(), too_many_resets);
    let (mut draining, mut closing) = (pin!(server.handing_over()), pin!(server.closing()));
    let (mut drained, mut closed) = (false, false);
    let ended = poll_fn(|cx| {
        if !drained && draining.as_mut().poll(cx).is_ready() {
            drained = true;
            driver.connection.graceful_shutdown();
        }
        if !closed && closing.as_mut().poll(cx).is_ready() {
            closed = true;
            shared.all().iter().for_each(|stream| stream.shut_down());
        }
        driver.poll(cx)
    });
    let ended = ended.await;
    drop(driver);
    for stream in shared.all() {
        // A reset that came just before the end of the connection says who canceled.
        stream.look();
        stream.lose_connection();
    }
    if drained {
        // Handlers still have what a graceful shutdown gives them.
        shared.idle().await;
    }
    ended
}

/// Returns an h2 builder without the limits of h2 that would close the connection because of one stream: ours
/// replace them.
fn builder(shared: &Shared<ServerStream>) -> h2::server::Builder {
    let config = &shared.config;
    let streams = shared.max_streams;
    // h2 closes the connection beyond this number of streams that were opened and reset within one read.
    let resets = usize::try_from(config.max_resets_per_second).unwrap_or(usize::MAX);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(config.stream_receive_window)
        .initial_connection_window_size(config.receive_window.max(config.stream_receive_window))
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_header_list_size(config.max_header_list_size)
        .max_concurrent_reset_streams(streams)
        .max_local_error_reset_streams(None)
        .max_pending_accept_reset_streams(streams.max(resets))
        .max_send_buffer_size(MAX_SEND_BUFFER);
    builder
}

/// Drives the frames of one connection, accepts its streams, and checks those that may have been reset.
struct Driver {
    connection: Connection<Socket, Bytes>,
    wire: Arc<Wire>,
    gauge: Gauge,
    /// The memory budget is nearly used up: streams have smaller windows.
    tight: bool,
    writer: Writer,
    shared: Arc<Shared<ServerStream>>,
    server: ServerHandle,
    resets: Bucket,
    too_many_resets: Arc<LogLimit>,
    idle: Timer,
    idle_since: Option<Instant>,
    keepalive: Option<Keepalive>,
    batch: Batch,
    /// Streams whose requests have trailers.
    with_trailers: Vec<u32>,
}

impl Driver {
    fn new(
        mut connection: Connection<Socket, Bytes>,
        (wire, writer): (Arc<Wire>, Writer),
        shared: Arc<Shared<ServerStream>>,
        server: ServerHandle,
        too_many_resets: Arc<LogLimit>,
    ) -> Self {
        let keepalive = Keepalive::new(&shared.config, connection.ping_pong());
        let resets = Bucket::new(shared.config.max_resets_per_second, clock::now());
        let idle = Timer::default();
        writer.batch();
        Self {
            connection,
            wire,
            gauge: Gauge::default(),
            tight: false,
            writer,
            shared,
            server,
            resets,
            too_many_resets,
            idle,
            idle_since: None,
            keepalive,
            batch: Batch::default(),
            with_trailers: Vec::new(),
        }
    }

    /// Completes when the connection is closed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(keepalive) = &mut self.keepalive
            && keepalive.poll(cx, !self.shared.is_empty(), &self.shared.origins).is_ready()
        {
            let text = "peer does not answer PING";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
        if self.batch.waits(&self.shared.watch, self.shared.len(), cx) {
            return Poll::Pending;
        }
        if self.shared.memory.is_ending() {
            return Poll::Ready(Err(io::Error::other(NO_MEMORY)));
        }
        self.wire.begin_turn();
        self.look_at_queued();
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    accept(&self.shared, &self.server, request, respond);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if self.look_at_queued() || !self.writer.write_batch(cx) => {}
                Poll::Pending => break,
            }
        }
        self.shared.watch.register(cx);
        self.poll_memory(cx);
        self.poll_idle(cx);
        Poll::Pending
    }

    /// Counts what the connection holds. While the memory budget is nearly used up, streams have smaller windows.
    fn poll_memory(&mut self, cx: &mut Context<'_>) {
        // A client whose window is used up when it is made smaller sends nothing until it is made larger again.
        let watches = self.tight;
        let Self { shared, gauge, wire, writer, .. } = self;
        shared.memory.set_waiting(|| writer.waiting());
        let (other, held) =
            (|| shared.header_bytes(), || shared.all().iter().map(|stream| stream.held()).sum());
        let measured = gauge.poll(cx, &shared.memory, wire.bytes(), watches, other, held);
        let Some(pressure) = measured else { return };
        let tight = pressure >= Pressure::Tight;
        if tight == self.tight {
            return;
        }
        let window = pressure.shrink_u32(self.shared.config.stream_receive_window);
        // Fails while settings are on their way: it is tried again.
        if self.connection.set_initial_window_size(window).is_ok() {
            self.tight = tight;
            cx.waker().wake_by_ref();
        }
    }

    /// Checks the streams that h2 has woken. Returns whether there were any.
    fn look_at_queued(&mut self) -> bool {
        let keys = self.shared.watch.take();
        for stream in keys.iter().filter_map(|key| self.shared.find(*key)) {
            stream.look();
            stream.flush();
        }
        self.end_streams_with_trailers();
        self.count_resets();
        !keys.is_empty()
    }

    /// Ends the streams whose requests have trailers: those of gRPC have none, and h2 keeps them beyond every window until
    /// the handler has taken all messages.
    fn end_streams_with_trailers(&mut self) {
        self.wire.take_blocks(&mut self.with_trailers);
        if !self.with_trailers.is_empty() {
            let all = self.shared.all();
            let with_trailers = all.iter().filter(|stream| self.with_trailers.contains(&stream.id()));
            with_trailers.for_each(|stream| stream.end_at_trailers());
        }
    }

    /// Closes the connection if its client resets too many streams, wherever that was seen: here, as a stream was accepted, or
    /// by its handler.
    fn count_resets(&mut self) {
        let resets = self.shared.resets.swap(0, Ordering::Relaxed);
        if resets == 0 {
            return;
        }
        let now = clock::now();
        if !(0..resets).all(|_| self.resets.take(now)) {
            if let Some(suppressed) = self.too_many_resets.allows(now) {
                let peer = &self.shared.peer;
                tracing::warn!(%peer, suppressed, "too many resets: closing connection");
            }
            self.connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Shuts the connection down gracefully when its idle timeout has passed.
    fn poll_idle(&mut self, cx: &mut Context<'_>) {
        if !self.shared.is_empty() || self.connection.has_streams() {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert_with(clock::now);
        let due = since.checked_add(self.server.config().idle_timeout);
        if self.idle.poll_until(due, cx).is_ready() {
            self.idle_since = None;
            self.connection.graceful_shutdown();
        }
    }
}
