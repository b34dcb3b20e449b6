//! The address of one end of a byte stream. Knows nothing of how an address is dialed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The address of one end of a connection. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; `None` if the socket has no path, as is usual for the end that dials.
    Unix(Option<Arc<Path>>),
    /// An end of an in-memory stream, by a number that is unique in this process.
    Memory(u64),
}

impl Address {
    /// Returns the IP address and port, if this is a TCP address.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Memory(_) => None,
        }
    }

    /// Returns the IP address, if this is a TCP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(|address| address.ip())
    }

    pub(super) fn next_memory() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self::Memory(LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(all(feature = "tokio", unix))]
impl From<tokio::net::unix::SocketAddr> for Address {
    fn from(address: tokio::net::unix::SocketAddr) -> Self {
        Self::Unix(address.as_pathname().map(Arc::from))
    }
}

/// `127.0.0.1:80`, `unix:/run/service.sock`, `unix:unnamed`, `memory:7`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:unnamed"),
            Self::Memory(number) => write!(f, "memory:{number}"),
        }
    }
}

/// Returns the path if `address` is that of a Unix socket: it begins with `/`, or with `unix:`.
#[cfg(feature = "tokio")]
pub fn unix_path(address: &str) -> Option<&str> {
    address.strip_prefix("unix:").or_else(|| address.starts_with('/').then_some(address))
}
