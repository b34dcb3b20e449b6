//! The client's side of the seam: HTTP/2 connections of a pool, and what makes them of sockets.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kerrors::{Code, Error, GrpcStatus, Kind, StreamError};
use stream_core::call::OutgoingCall;
use stream_core::cancel::{Label, Reason};
use stream_core::clock;
use stream_core::io::Io;
use stream_core::rt::Timer;
use stream_core::stream::NewStream;
use stream_core::sync::Mutex;
use stream_core::transport::{BoxFuture, Connection, Transport, UnaryPaths, UnaryTransport};
use tokio::sync::watch;

use super::calls::Calls;
use super::link::{Link, Times};
use super::stream::{ClientStream, Handle};
use crate::config::MAX_SEND_BUFFER;
use crate::socket::Socket;
use crate::{GrpcConfig, header, status};

/// gRPC for streams and for ping-pong calls.
#[derive(Clone, Debug, Default)]
pub struct GrpcTransport {
    /// Limits of each connection.
    pub connection: GrpcConfig,
}

/// A connection on which a stream was reset stays open for so long: a Kitex server that meets the end of a
/// connection may pass over the reset that came just before.
const LINGER: Duration = Duration::from_millis(250);

/// Streams that this end has reset and whose last frames are still on their way, as many as h2 remembers.
const MAX_RESET_STREAMS: usize = 65_536;

impl Transport for GrpcTransport {
    fn connect(&self, io: Io, idle_timeout: Duration) -> BoxFuture<'_, Result<Arc<dyn Connection>, Error>> {
        Box::pin(async move {
            let link = Link::start(io, self.connection.clone(), idle_timeout).await?;
            Ok(link as Arc<dyn Connection>)
        })
    }

    fn unary(&self, paths: UnaryPaths) -> Arc<dyn UnaryTransport> {
        Arc::new(Calls::new(paths.streams))
    }

    /// Kitex says `rpc timeout` of a context that is over, whatever ended it; the code tells them apart.
    fn not_opened(&self, reason: &Reason, _: &OutgoingCall<'_>, _: Option<Duration>) -> Error {
        let status = status::canceled(reason);
        match reason {
            Reason::Canceled | Reason::Cause(_) | Reason::DeadlineExceeded => {
                GrpcStatus::new(status.code(), "rpc timeout").with_kind(status.kind()).bare().into()
            }
            _ => status.into(),
        }
    }
}

impl Link {
    async fn start(io: Io, config: GrpcConfig, idle_timeout: Duration) -> Result<Arc<Self>, Error> {
        let (local, peer) = (io.local_addr().clone(), io.peer_addr().clone());
        let socket = Socket::new(io, BytesMut::new(), config.write_timeout);
        let lost = |error: h2::Error| Error::Grpc(GrpcStatus::connection_lost(&peer, &error));
        let (requests, connection) = builder(&config).handshake(socket).await.map_err(lost)?;
        let link = Arc::new(Self {
            number: Label::next_connection(),
            local,
            peer: peer.clone(),
            config,
            requests: Mutex::new(Some(requests)),
            live: AtomicUsize::new(0),
            times: Mutex::new(Times { idle: clock::now(), reset: None }),
            closed: watch::Sender::new(false),
        });
        tokio::spawn(drive(link.clone(), connection, idle_timeout));
        Ok(link)
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
async fn drive(
    link: Arc<Link>,
    mut connection: h2::client::Connection<Socket, Bytes>,
    idle_timeout: Duration,
) {
    let mut timer = Timer::default();
    let mut due = link.idle_due(idle_timeout, clock::now());
    let ended = poll_fn(|cx| {
        while timer.poll_until(Some(due), cx).is_ready() {
            let now = clock::now();
            due = link.idle_due(idle_timeout, now);
            if due <= now {
                link.retire();
                due = now.checked_add(idle_timeout.max(LINGER)).unwrap_or(now);
            }
        }
        std::pin::Pin::new(&mut connection).poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(peer = %link.peer, %error, "connection ended");
    }
    drop(link.requests.lock().take());
    link.closed.send_replace(true);
}

impl Connection for Link {
    fn poll_open(
        self: Arc<Self>,
        cx: &mut Context<'_>,
        call: &OutgoingCall<'_>,
    ) -> Poll<Result<NewStream, Error>> {
        let requests = self.requests.lock().clone();
        let Some(mut requests) = requests else {
            let closed = GrpcStatus::new(GrpcStatus::UNAVAILABLE, "transport is closing");
            return Poll::Ready(Err(closed.with_kind(Kind::Protocol).into()));
        };
        // Ready, or lost: what waits for a place among the peer's streams is the stream, not its opening.
        std::task::ready!(requests.poll_ready(cx)).map_err(|error| self.failed(&error))?;
        let left = call.wire_deadline.or(call.deadline);
        let left = left.map(|deadline| deadline.saturating_duration_since(clock::now()));
        let Some(mut request) = header::request(call, left) else {
            let text = format!("{} cannot be called by gRPC: its name is no path", call.method);
            return Poll::Ready(Err(StreamError::new(Code::ILLEGAL_OPERATION).with_cause(text).into()));
        };
        header::hide_secrets(request.headers_mut());
        let (response, send) = requests.send_request(request, false).map_err(|error| self.failed(&error))?;
        self.live.fetch_add(1, Ordering::Relaxed);
        let stream = ClientStream::start(self, call, response, send);
        Poll::Ready(Ok(NewStream::new(Handle::new(stream))))
    }

    fn is_open(&self) -> bool {
        let requests = self.requests.lock().clone();
        let mut cx = Context::from_waker(Waker::noop());
        requests.is_some_and(|mut requests| matches!(requests.poll_ready(&mut cx), Poll::Ready(Ok(()))))
    }

    fn is_reusable(&self) -> bool {
        true
    }

    fn live_streams(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn retire(&self) {
        let requests = mem::take(&mut *self.requests.lock());
        let since_reset = self.times.lock().reset.map(|reset| clock::now().saturating_duration_since(reset));
        let linger = since_reset.and_then(|since| LINGER.checked_sub(since));
        match (linger, tokio::runtime::Handle::try_current()) {
            // The connection is closed when the last handle is dropped.
            (Some(linger), Ok(runtime)) => drop(runtime.spawn(async move {
                tokio::time::sleep(linger).await;
                drop(requests);
            })),
            _ => drop(requests),
        }
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The sender lives as long as the link does.
            let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
        })
    }
}
