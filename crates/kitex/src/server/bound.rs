//! A server with its listener: serves until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use stream_core::handler::{ServerConfig, ServerHandle};
use stream_core::io::Address;
use stream_core::server::Listener;
use stream_core::transport::Protocol;

use super::router::Router;
use super::signals::{Signals, end_with_the_next_signal};

/// What a server has beside its listener and its services.
pub(super) struct Settings {
    pub(super) config: ServerConfig,
    pub(super) protocols: Vec<Arc<dyn Protocol>>,
}

/// A server with its listener: what [`ServerBuilder::bind`](super::ServerBuilder::bind) returns.
#[derive(Debug)]
#[must_use = "a server does nothing until it serves"]
pub struct Server {
    raw: stream_core::server::Server<Router>,
    address: Address,
}

impl Server {
    pub(super) fn new(listener: impl Listener, router: Router, settings: Settings) -> io::Result<Self> {
        let Settings { config, protocols } = settings;
        let raw = stream_core::server::Server::new(listener, router, config, protocols);
        let address = raw.local_addr()?;
        Ok(Self { raw, address })
    }

    /// Returns the address and port, with port 0 asked for the port that was assigned; `0.0.0.0:0` if the server
    /// does not listen on TCP: see [`address`](Self::address).
    pub fn local_addr(&self) -> SocketAddr {
        self.address.socket_addr().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Returns the address that is listened on.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the server as a transport sees it, to serve streams that no connection of its listener brought: fakes
    /// in tests, or a transport with connections of its own.
    pub fn handle(&self) -> ServerHandle {
        self.raw.handle()
    }

    /// Serves until `signal` completes, then shuts down: nothing new is begun (a new stream is refused with code
    /// 12903), what runs may end within [`ServerBuilder::exit_wait`](super::ServerBuilder::exit_wait), and what is
    /// left is canceled, here and at the clients, with code 12013. Returns as soon as nothing is left. Not cancel-safe: dropping the future
    /// ends the server without a shutdown.
    pub async fn serve_until(self, signal: impl Future<Output = ()>) {
        self.raw.serve_until(signal).await;
    }

    /// Serves until the process is asked to end (SIGTERM, or Ctrl-C), then shuts down as
    /// [`serve_until`](Self::serve_until) does. At a second signal it cancels what is left and returns at once. After it
    /// has returned, a signal ends the process as it does by default.
    ///
    /// # Errors
    /// The system does not let the process listen to signals.
    pub async fn run(self) -> io::Result<()> {
        let (mut first, mut again) = (Signals::listen()?, Signals::listen()?);
        let again = async {
            // It sees the first one too.
            again.next().await;
            again.next().await;
        };
        let first = async {
            let _ = first.next().await;
        };
        self.raw.serve_until_told_twice(first, again).await;
        end_with_the_next_signal();
        Ok(())
    }

    /// Serves until the future is dropped; connections that are open then go on. Connections
    /// that were queued and not accepted are lost with it.
    pub async fn serve(self) {
        self.raw.serve().await;
    }
}
