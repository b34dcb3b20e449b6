//! Servers and clients that are connected in memory, without delays and faults.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stream_core::BoxFuture;
use stream_core::client::Connector;
use stream_core::io::Io;
use stream_core::server::{MemoryConnector, MemoryListener};

use super::server::TestServer;
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, connector);
        Ok(TestServer::spawn(server))
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
