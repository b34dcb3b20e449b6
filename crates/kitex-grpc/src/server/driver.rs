//! Moves the frames of one connection: accepts its streams, looks at those that may have been reset, and shuts
//! down.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::Connection;
use stream_core::cancel::Label;
use stream_core::clock;
use stream_core::handler::ServerHandle;
use stream_core::rt::Timer;
use stream_core::sync::Mutex;
use stream_core::transport::Accepted;

use super::accept::accept;
use super::shared::Shared;
use super::stream::{ServerStream, Watched};
use crate::GrpcConfig;
use crate::bucket::Bucket;
use crate::config::MAX_SEND_BUFFER;
use crate::socket::Socket;

/// Serves a connection until it is closed, or the server shuts down.
pub(super) async fn serve_connection(
    accepted: Accepted,
    server: ServerHandle,
    config: GrpcConfig,
) -> io::Result<()> {
    let Accepted { io, read } = accepted;
    let shared = Arc::new(Shared {
        number: Label::next_connection(),
        local: io.local_addr().clone(),
        peer: io.peer_addr().clone(),
        watch: Arc::default(),
        streams: Mutex::default(),
        max_streams: server.config().max_concurrent_streams,
        recv_timeout: server.config().recv_timeout,
        config,
    });
    let socket = Socket::new(io, read, shared.config.write_timeout);
    let handshake = tokio::time::timeout(server.config().preface_timeout, builder(&shared).handshake(socket));
    let connection = handshake.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    let connection = connection.map_err(io::Error::other)?;
    let mut driver = Driver::new(connection, shared.clone(), server.clone());
    let (mut draining, mut closing) = (pin!(server.draining()), pin!(server.closing()));
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
    shared.all().iter().for_each(|stream| stream.lose_connection());
    ended
}

/// h2's own limits that end whole connections for the sake of one stream are replaced by ours.
fn builder(shared: &Shared<ServerStream>) -> h2::server::Builder {
    let config = &shared.config;
    let streams = shared.max_streams;
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(config.stream_receive_window)
        .initial_connection_window_size(config.receive_window.max(config.stream_receive_window))
        .max_concurrent_streams(u32::try_from(streams).unwrap_or(u32::MAX))
        .max_header_list_size(config.max_header_list_size)
        .max_concurrent_reset_streams(streams)
        .max_local_error_reset_streams(None)
        .max_pending_accept_reset_streams(streams)
        .max_send_buffer_size(MAX_SEND_BUFFER);
    builder
}

/// Moves the frames of one connection, accepts its streams, and looks at those that may have been reset.
struct Driver {
    connection: Connection<Socket, Bytes>,
    shared: Arc<Shared<ServerStream>>,
    server: ServerHandle,
    resets: Bucket,
    idle: Timer,
    idle_since: Option<Instant>,
}

impl Driver {
    fn new(
        connection: Connection<Socket, Bytes>,
        shared: Arc<Shared<ServerStream>>,
        server: ServerHandle,
    ) -> Self {
        let resets = Bucket::new(shared.config.max_resets_per_second, clock::now());
        Self { connection, shared, server, resets, idle: Timer::default(), idle_since: None }
    }

    /// Ends when the connection does.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.shared.watch.register(cx);
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    accept(&self.shared, &self.server, request, respond);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if self.look_at_queued() => {}
                Poll::Pending => break,
            }
        }
        self.poll_idle(cx);
        Poll::Pending
    }

    /// Looks at the streams that h2 has woken. Returns whether there were any.
    fn look_at_queued(&mut self) -> bool {
        let keys = self.shared.watch.take();
        for stream in keys.iter().filter_map(|key| self.shared.find(*key)) {
            if stream.look() == Watched::Reset && !self.resets.take(clock::now()) {
                tracing::warn!(peer = %self.shared.peer, "too many resets: closing connection");
                self.connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
            }
        }
        !keys.is_empty()
    }

    /// Shuts the connection down gracefully when it has had no stream for too long.
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
