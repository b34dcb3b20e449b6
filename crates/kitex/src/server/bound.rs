//! A server with its listener: serving and graceful shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use stream_core::handler::{ServerConfig, ServerHandle};
use stream_core::io::Address;
use stream_core::server::Listener;
use stream_core::transport::Protocol;

use super::router::Router;
use super::signals::Running;

/// Settings of a server besides its listener and its services.
pub(super) struct Settings {
    pub(super) config: ServerConfig,
    pub(super) protocols: Vec<Arc<dyn Protocol>>,
}

/// A server with its listener, returned by [`ServerBuilder::bind`](super::ServerBuilder::bind).
///
/// ```no_run
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/generated/echo.rs"));
/// use std::time::Duration;
/// use echo::{Mirror, MirrorServer, Req, Resp};
/// use kitex::{Context, Result, Server, ServerStreamingServer};
///
/// struct Counter;
///
/// #[kitex::async_trait]
/// impl Mirror for Counter {
///     async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
///         Ok(Resp { msg: req.msg, ..Resp::default() })
///     }
///
///     async fn down(&self, _: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
///         for seq in 0..req.seq.unwrap_or(10) {
///             stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
///         }
///         Ok(())
///     }
/// }
///
/// #[tokio::main]
/// async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
///     let server = Server::builder("counter")
///         .service(MirrorServer::new(Counter))
///         .exit_wait(Duration::from_secs(10))
///         .bind("0.0.0.0:8888")
///         .await?;
///     println!("listening on {}", server.local_addr());
///     // Serves until SIGTERM or Ctrl-C, then shuts down gracefully.
///     server.run().await?;
///     Ok(())
/// }
/// ```
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

    /// Returns the bound address, with the port that the system assigned if port 0 was requested; `0.0.0.0:0` if the
    /// server does not listen on TCP: see [`address`](Self::address).
    pub fn local_addr(&self) -> SocketAddr {
        self.address.socket_addr().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Returns the address that the server listens on.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns a handle by which a transport serves streams that do not come from the listener: fakes in tests, or a
    /// transport with its own connections.
    pub fn handle(&self) -> ServerHandle {
        self.raw.handle()
    }

    /// Serves until `signal` completes, then shuts down gracefully: new streams are refused with
    /// [`Code::DRAINING`](crate::Code::DRAINING), running ones may end within
    /// [`ServerBuilder::exit_wait`](super::ServerBuilder::exit_wait), and the rest are canceled, here and at the clients,
    /// with [`Code::CONNECTION_CLOSED`](crate::Code::CONNECTION_CLOSED). Returns as soon as nothing is left. Not
    /// cancel-safe: dropping the future ends the server without a graceful shutdown.
    pub async fn serve_until(self, signal: impl Future<Output = ()>) {
        self.raw.serve_until(signal).await;
    }

    /// Serves until the process receives SIGTERM or SIGINT (Ctrl-C), then shuts down gracefully like
    /// [`serve_until`](Self::serve_until). A second signal cancels the remaining streams and returns at once. A third one
    /// ends the process, even if user code blocks the runtime. When no server runs any more, a signal ends the process as by
    /// default; a process may run several servers, at once or one after the other.
    ///
    /// # Errors
    /// The signal handlers cannot be installed, or the thread that waits for further signals cannot be started.
    pub async fn run(self) -> io::Result<()> {
        let running = Running::begin()?;
        self.raw.serve_until_forced(running.signals(1), running.signals(2)).await;
        Ok(())
    }

    /// Serves until the future is dropped. Open connections then continue; connections that were queued and not yet
    /// accepted are closed.
    pub async fn serve(self) {
        self.raw.serve().await;
    }
}
