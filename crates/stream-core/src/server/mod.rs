//! Accepts connections, recognizes the protocol of each by its first bytes, and shuts down.

mod listen;
mod log_limit;
mod tcp;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tracing::{debug, warn};

pub use listen::{Incoming, Listener, MemoryConnector, MemoryListener, bind};
use log_limit::LogLimit;

use crate::clock;
use crate::handler::{Handler, Phase, ServerConfig, ServerHandle, Serving};
use crate::io::{Address, Io};
use crate::transport::{Accepted, PREFACE_LEN, Protocol};

/// A server with its listener.
#[derive(Debug)]
pub struct Server<H> {
    listener: Box<dyn Listener>,
    shared: Arc<Shared<H>>,
}

#[derive(Debug)]
struct Shared<H> {
    serving: Arc<Serving<H>>,
    protocols: Vec<Arc<dyn Protocol>>,
    connections: AtomicUsize,
    /// Bounds the log lines that a client can cause.
    too_many: LogLimit,
    strangers: LogLimit,
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
        let serving = Serving::new(handler, config);
        let shared = Shared {
            serving,
            protocols,
            connections: AtomicUsize::new(0),
            too_many: LogLimit::default(),
            strangers: LogLimit::default(),
        };
        Self { listener: Box::new(listener), shared: Arc::new(shared) }
    }

    /// Returns the address that is listened on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.listener.local_addr()
    }

    /// Returns the server as a transport sees it: serves streams and calls that no connection of the listener
    /// brought.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(self.shared.serving.clone())
    }

    /// Accepts connections until `signal` completes, then shuts down: nothing new is begun (a new stream
    /// gets an Rst of code 12903), what runs may end within [`ServerConfig::exit_wait`], and what is left
    /// then is canceled, here and at the clients, with 12013. A handler that is canceled has the time that
    /// [`OnCancel`](crate::handler::OnCancel) promises, and work that it has left to the server's
    /// [`TaskTracker`](crate::handler::TaskTracker) that time or the exit wait once more, whichever is longer. Returns
    /// as soon as nothing is left.
    pub async fn serve_until(self, signal: impl Future<Output = ()>) {
        let shared = self.shared.clone();
        tokio::select! {
            () = self.serve() => {}
            () = signal => shared.serving.shut_down().await,
        }
    }

    /// As [`serve_until`](Self::serve_until). When `again` completes during the shutdown, what is left is canceled, and
    /// nothing is waited for any more.
    pub async fn serve_until_told_twice(
        self,
        signal: impl Future<Output = ()>,
        again: impl Future<Output = ()>,
    ) {
        let shared = self.shared.clone();
        tokio::select! {
            () = self.serve() => return,
            () = signal => {}
        }
        tokio::select! {
            biased;
            () = again => shared.serving.end_now().await,
            () = shared.serving.shut_down() => {}
        }
    }

    /// Accepts connections until the future is dropped; connections that are open go on.
    pub async fn serve(self) {
        let mut pause = MIN_PAUSE;
        loop {
            match self.listener.accept().await {
                Ok(incoming) => {
                    pause = MIN_PAUSE;
                    self.shared.clone().admit(incoming);
                }
                Err(error) => {
                    // Out of descriptors, most likely: an accept that fails must not end the server.
                    warn!(%error, "accept failed; trying again");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
            }
        }
    }
}

const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Counts a connection as long as it is open.
struct ConnectionPermit<H>(Arc<Shared<H>>);

impl<H> Drop for ConnectionPermit<H> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<H: Handler> ConnectionPermit<H> {
    async fn serve(self, io: impl FnOnce() -> io::Result<Io>) {
        let io = match io() {
            Ok(io) => io,
            Err(error) => return debug!(%error, "connection was lost before it was served"),
        };
        let peer = io.peer_addr().clone();
        if let Err(error) = self.0.serve_connection(io, &peer).await {
            debug!(%peer, %error, "connection ended");
        }
    }
}

impl<H: Handler> Shared<H> {
    fn admit(self: Arc<Self>, incoming: Incoming) {
        let permit = ConnectionPermit(self.clone());
        let config = &self.serving.config;
        if self.connections.fetch_add(1, Ordering::Relaxed) >= config.max_connections {
            if let Some(suppressed) = self.too_many.allows(clock::now()) {
                let limit = config.max_connections;
                warn!(limit, suppressed, "too many connections: closing the newest");
            }
            return;
        }
        match &config.cores {
            None => tokio::spawn(permit.serve(|| incoming.into_io())),
            Some(cores) => cores.spawn(permit.serve(incoming.detach())),
        };
    }

    async fn serve_connection(&self, io: Io, peer: &Address) -> io::Result<()> {
        let mut read = BytesMut::new();
        // Subscribed for as long as the connection is open: shutdown waits for it.
        let mut phase = self.serving.phase.subscribe();
        let timeout = self.serving.config.preface_timeout;
        let preface = tokio::time::timeout(timeout, read_preface(&io, &mut read));
        let preface = tokio::select! {
            biased;
            preface = preface => preface.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
            // A connection that has sent nothing until then has nothing to lose.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => return Ok(()),
        };
        let Some(protocol) = self.protocols.iter().find(|protocol| protocol.detect(&preface)) else {
            if let Some(suppressed) = self.strangers.allows(clock::now()) {
                warn!(%peer, suppressed, "{}", self.complaint(&preface));
            }
            return Ok(());
        };
        protocol.serve(Accepted { io, read }, ServerHandle::new(self.serving.clone())).await
    }

    /// Returns one line for the log about a connection whose protocol the server does not speak.
    fn complaint(&self, preface: &[u8; PREFACE_LEN]) -> String {
        let spoken: Vec<&str> = self.protocols.iter().map(|protocol| protocol.name()).collect();
        let spoken = spoken.join(", ");
        if preface.starts_with(b"PRI ") {
            return format!("closing connection: peer speaks HTTP/2 (gRPC), this server speaks {spoken}");
        }
        format!("closing connection: peer speaks none of {spoken}: check that it means this address")
    }
}

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
