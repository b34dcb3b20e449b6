//! How an address becomes a byte stream.

use std::fmt;
use std::io;

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::BoxFuture;
use crate::io::{Io, unix_path};

/// Makes a connection to an address. A client's can be replaced: by one in memory for tests, or by one that goes
/// through a proxy.
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// Connects to `address`, as the client's source of addresses gives it.
    ///
    /// # Errors
    /// The address cannot be reached.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Io>>;
}

/// Connects by the system: `host:port` over TCP, a path (`/run/model.sock`, `unix:model.sock`) over a Unix socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemConnector;

impl Connector for SystemConnector {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Io>> {
        Box::pin(async move {
            match unix_path(address) {
                #[cfg(unix)]
                Some(path) => Io::unix(UnixStream::connect(path).await?),
                #[cfg(not(unix))]
                Some(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")),
                None => Io::tcp(TcpStream::connect(address).await?),
            }
        })
    }
}
