//! Accepts connections, detects the protocol of each by its first bytes, and shuts down gracefully.

mod handshake;
mod listen;
mod tcp;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::watch;
use tracing::{debug, warn};

use handshake::Handshakes;
pub use listen::{Incoming, Listener, MemoryConnector, MemoryListener, bind};

use crate::accept::Secured;
use crate::clock;
use crate::handler::{Handler, Phase, ServerConfig, ServerHandle, ServerInner};
use crate::io::{Address, Io};
use crate::log_limit::LogLimit;
use crate::transport::{Accepted, PREFACE_LEN, Protocol};

/// A server with its listener.
#[derive(Debug)]
pub struct Server<H> {
    listener: Box<dyn Listener>,
    shared: Arc<Shared<H>>,
}

#[derive(Debug)]
struct Shared<H> {
    serving: Arc<ServerInner<H>>,
    protocols: Vec<Arc<dyn Protocol>>,
    connections: AtomicUsize,
    handshakes: Handshakes,
    /// Bounds the log lines that a client can cause.
    too_many: LogLimit,
    no_memory: LogLimit,
    unknown_protocols: LogLimit,
}

impl<H: Handler> Server<H> {
    /// Returns a server that accepts the connections of `listener`. The first of `protocols` that recognizes a
    /// connection serves it.
    pub fn new(
        listener: impl Listener,
        handler: H,
        config: ServerConfig,
        protocols: Vec<Arc<dyn Protocol>>,
    ) -> Self {
        let serving = ServerInner::new(handler, config);
        let shared = Shared {
            serving,
            protocols,
            connections: AtomicUsize::new(0),
            handshakes: Handshakes::default(),
            too_many: LogLimit::default(),
            no_memory: LogLimit::default(),
            unknown_protocols: LogLimit::default(),
        };
        Self { listener: Box::new(listener), shared: Arc::new(shared) }
    }

    /// Returns the address that the server is bound to.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.listener.local_addr()
    }

    /// Returns the interface of the server for transports. It can also serve streams and calls that do not
    /// come from the listener.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(self.shared.serving.clone())
    }

    /// Accepts connections until `signal` completes, then shuts down gracefully: clients are notified, and
    /// what they open within [`ServerConfig::handover`] is served; then new streams are refused with
    /// an Rst of code [`DRAINING`](kerrors::Code::DRAINING). After the same time again no connection is accepted any more, and
    /// running handlers have [`ServerConfig::exit_wait`] to return. The remaining ones are then canceled, here and at the clients,
    /// with [`CONNECTION_CLOSED`](kerrors::Code::CONNECTION_CLOSED). A canceled handler has the grace period
    /// of its [`OnCancel`](crate::handler::OnCancel) policy; its background work in the server's
    /// [`TaskTracker`](crate::handler::TaskTracker) has that time or the exit wait again, whichever is
    /// longer. Returns as soon as nothing is running.
    pub async fn serve_until(self, signal: impl Future<Output = ()>) {
        let shared = self.shared.clone();
        if self.serve_and_hand_over(signal).await {
            shared.serving.shut_down().await;
        }
    }

    /// Returns `true` after `signal` has completed, the handler was notified and clients were.
    async fn serve_and_hand_over(self, signal: impl Future<Output = ()>) -> bool {
        let handed_over = async {
            signal.await;
            self.shared.serving.announce().await;
            self.shared.serving.hand_over().await;
        };
        tokio::select! {
            biased;
            () = self.accept() => return false,
            () = handed_over => {}
        }
        // Clients learn by refusals that the server leaves, so that few still connect when the listener closes: it resets what it
        // has not accepted, and then a client does not know that its stream has not begun.
        tokio::select! {
            biased;
            () = self.accept() => return false,
            () = self.shared.serving.turn_away() => {}
        }
        while let Ok(Some(incoming)) = self.listener.accept_queued() {
            self.shared.clone().admit(incoming);
        }
        true
    }

    /// As [`serve_until`](Self::serve_until). When `force` completes during the graceful shutdown, running
    /// handlers are canceled and not waited for.
    pub async fn serve_until_forced(self, signal: impl Future<Output = ()>, force: impl Future<Output = ()>) {
        let shared = self.shared.clone();
        let ending = async {
            if self.serve_and_hand_over(signal).await {
                shared.serving.shut_down().await;
            }
        };
        tokio::select! {
            biased;
            () = force => shared.serving.end_now().await,
            () = ending => {}
        }
    }

    /// Accepts connections until the future is dropped; open connections stay open.
    pub async fn serve(self) {
        self.accept().await;
    }

    async fn accept(&self) {
        let (mut pause, failed) = (MIN_PAUSE, LogLimit::new());
        loop {
            match self.listener.accept().await {
                Ok(incoming) => {
                    pause = MIN_PAUSE;
                    self.shared.clone().admit(incoming);
                }
                Err(error) => {
                    // Probably out of file descriptors: a failed accept must not end the server.
                    if let Some(suppressed) = failed.allows(clock::now()) {
                        warn!(%error, suppressed, "accept failed; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
            }
        }
    }
}

const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Counts a connection while it is open.
struct ConnectionPermit<H> {
    shared: Arc<Shared<H>>,
    /// Graceful shutdown waits for it.
    phase: watch::Receiver<Phase>,
}

impl<H> Drop for ConnectionPermit<H> {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<H: Handler> ConnectionPermit<H> {
    async fn serve(self, io: impl FnOnce() -> io::Result<Io>) {
        let io = match io() {
            Ok(io) => io,
            Err(error) => return debug!(%error, "connection was lost before it was served"),
        };
        let peer = io.peer_addr().clone();
        if let Err(error) = self.shared.serve_connection(io, &peer, self.phase.clone()).await {
            debug!(%peer, %error, "connection ended");
        }
    }
}

impl<H: Handler> Shared<H> {
    fn admit(self: Arc<Self>, incoming: Incoming) {
        let permit = ConnectionPermit { shared: self.clone(), phase: self.serving.phase.subscribe() };
        let config = &self.serving.config;
        if self.connections.fetch_add(1, Ordering::Relaxed) >= config.max_connections {
            if let Some(suppressed) = self.too_many.allows(clock::now()) {
                let limit = config.max_connections;
                warn!(limit, suppressed, "too many connections: closing the newest");
            }
            return;
        }
        if let Some(limit) = config.memory.refuses_connections(clock::now) {
            if let Some(suppressed) = self.no_memory.allows(clock::now()) {
                warn!(limit, suppressed, "the memory budget is used up: closing the newest connection");
            }
            return;
        }
        match &config.cores {
            None => tokio::spawn(permit.serve(|| incoming.into_io())),
            Some(cores) => cores.spawn(permit.serve(incoming.detach())),
        };
    }

    async fn serve_connection(
        &self,
        io: Io,
        peer: &Address,
        mut phase: watch::Receiver<Phase>,
    ) -> io::Result<()> {
        let start = async {
            let config = &self.serving.config;
            let Some(mut secured) = self.handshakes.secure(config, io, peer).await else { return Ok(None) };
            let preface =
                tokio::time::timeout(config.preface_timeout, read_preface(&secured.io, &mut secured.read));
            let preface = preface.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok::<_, io::Error>(Some((secured, preface)))
        };
        let leaving = async {
            let _ = phase.wait_for(|phase| matches!(phase, Phase::Draining | Phase::Closing)).await;
            // Who has just connected is about to open a stream: that is refused.
            let closing = phase.wait_for(|phase| *phase == Phase::Closing);
            let _ = tokio::time::timeout(self.serving.config.handover, closing).await;
        };
        let started = tokio::select! {
            biased;
            started = start => started?,
            () = leaving => return Ok(()),
        };
        let Some((Secured { io, read, extensions }, preface)) = started else { return Ok(()) };
        let Some(protocol) = self.protocols.iter().find(|protocol| protocol.detect(&preface)) else {
            if let Some(suppressed) = self.unknown_protocols.allows(clock::now()) {
                warn!(%peer, suppressed, "{}", self.unknown_protocol(&preface));
            }
            return Ok(());
        };
        let server = ServerHandle::new(self.serving.clone()).with_connection(extensions);
        protocol.serve(Accepted { io, read }, server).await
    }

    /// Returns the log line for a connection whose protocol the server does not speak.
    fn unknown_protocol(&self, preface: &[u8; PREFACE_LEN]) -> String {
        let spoken: Vec<&str> = self.protocols.iter().map(|protocol| protocol.name()).collect();
        let spoken = spoken.join(", ");
        if preface.starts_with(b"PRI ") {
            return format!("closing connection: peer speaks HTTP/2 (gRPC), this server speaks {spoken}");
        }
        if preface.starts_with(TLS_HANDSHAKE) {
            return format!(
                "closing connection: peer speaks TLS, which this server does not use; it speaks {spoken}"
            );
        }
        format!("closing connection: peer speaks none of {spoken}: check that it means this address")
    }
}

/// The type and the major version of a TLS record that begins a handshake.
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

async fn read_preface(io: &Io, buf: &mut BytesMut) -> io::Result<[u8; PREFACE_LEN]> {
    buf.reserve(1024);
    loop {
        if let Some(preface) = buf.first_chunk() {
            return Ok(*preface);
        }
        poll_fn(|cx| io.poll_read_ready(cx)).await?;
        match io.try_read_buf(buf) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
