//! Connects to an address.

use std::fmt;
use std::io;
use std::time::Duration;

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::lookup_host;

use super::race;
use crate::BoxFuture;
use crate::io::{Io, unix_path};

/// Connects to an address. A client's connector can be replaced, for example by one in memory for tests, or
/// by one that connects through a proxy.
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// Connects to `address`, as the client's [`Discover`](super::Discover) returned it. The caller
    /// waits for at most `timeout`: a connector that tries several addresses divides it among them.
    ///
    /// # Errors
    /// The address cannot be reached.
    fn connect<'a>(&'a self, address: &'a str, timeout: Duration) -> BoxFuture<'a, io::Result<Io>>;
}

/// Connects by the system: `host:port` over TCP (of a name with several addresses the first that answers, as RFC 8305 has it), a path (`/run/model.sock`, `unix:model.sock`) over a Unix socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemConnector;

impl Connector for SystemConnector {
    fn connect<'a>(&'a self, address: &'a str, timeout: Duration) -> BoxFuture<'a, io::Result<Io>> {
        Box::pin(async move {
            match unix_path(address) {
                #[cfg(unix)]
                Some(path) => Io::unix(UnixStream::connect(path).await?),
                #[cfg(not(unix))]
                Some(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")),
                None => {
                    let addresses = lookup_host(address).await?.collect();
                    Io::tcp(race::connect_any(addresses, timeout).await?)
                }
            }
        })
    }
}
