//! Clients and servers in one test, without a port. Connections are in memory, so a test can run on tokio's paused
//! clock, on which deadlines, timeouts and grace periods take no real time.
//!
//! ```
//! use kitex::testing::Network;
//! # use kitex::{Response, Call, Client, Context, Method, Server, Service, StreamingMode};
//! # static METHODS: [Method; 1] = [Method::new("Echo", "Echo", StreamingMode::PingPong)];
//! # struct EchoServer;
//! # #[kitex::async_trait]
//! # impl Service for EchoServer {
//! #     fn methods(&self) -> &[Method] { &METHODS }
//! #     async fn call(&self, _: Call) -> kitex::Result<Response> { Ok(Response::none()) }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::new();
//! let server = network.serve(Server::builder("echo").service(EchoServer))?;
//! let client = network.client("echo").caller("test").build()?;
//! client.call_raw(&Context::background(), &METHODS[0], Default::default()).await?;
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stream_core::BoxFuture;
use stream_core::client::Connector;
use stream_core::handler::ServerHandle;
use stream_core::io::Io;
use stream_core::server::{MemoryConnector, MemoryListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::ClientBuilder;
use crate::server::{BindError, ServerBuilder};

/// A network in memory: servers are found by their service name. Clones are the same network.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<HashMap<String, MemoryConnector>>>);

impl Network {
    /// Returns a network without servers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `server` under its service name, on the current runtime. It replaces a server of the same name, whose
    /// connections continue; new connections go to this server.
    ///
    /// # Errors
    /// [`BindError`]: the name or the services cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve(&self, server: ServerBuilder) -> Result<TestServer, BindError> {
        let (name, (listener, connector)) = (server.name().to_owned(), MemoryListener::new());
        let server = server.listen(listener)?;
        let handle = server.handle();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, connector);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve_until(async {
            // A dropped handle does not stop the server.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Ok(TestServer { handle, stop, task })
    }

    /// Returns a builder of a client of the server with this service name.
    pub fn client(&self, service: impl Into<String>) -> ClientBuilder {
        let service = service.into();
        ClientBuilder::new(service.clone()).address(service).connector(self.clone())
    }

    fn find(&self, name: &str) -> Option<MemoryConnector> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Connector for Network {
    fn connect<'a>(&'a self, address: &'a str, _: Duration) -> BoxFuture<'a, io::Result<Io>> {
        Box::pin(async move {
            match self.find(address) {
                Some(server) => server.connect().await,
                None => Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("no server {address} on this network: call Network::serve first"),
                )),
            }
        })
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Network").field(&servers.keys().collect::<Vec<_>>()).finish()
    }
}

/// A server on a [`Network`]. Dropping it leaves the server running until the runtime ends.
#[derive(Debug)]
pub struct TestServer {
    handle: ServerHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl TestServer {
    /// Returns a handle to the server: see [`Server::handle`](crate::Server::handle).
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Shuts the server down gracefully, and waits until nothing is left, as
    /// [`Server::serve_until`](crate::Server::serve_until) does.
    pub async fn shutdown(self) {
        // The task ends early only if the runtime does.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}
