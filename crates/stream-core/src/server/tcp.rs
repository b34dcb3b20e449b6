//! Creates the TCP listener of an address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{SockRef, Socket};
use tokio::net::{TcpListener, TcpSocket};

use crate::dial::address_fault;

/// The number of connections that the system queues until they are accepted: as many as it allows, since it takes its own
/// limit (`net.core.somaxconn` on Linux) for a larger number. Clients connect all at once when a server has restarted.
const BACKLOG: i32 = i32::MAX;

/// Listens on `host:port`. Without a host, as in `:8888`, on every interface, IPv6 and IPv4.
pub(super) async fn listen(address: &str) -> io::Result<TcpListener> {
    if let Some(port) = address.strip_prefix(':').and_then(|port| port.parse().ok()) {
        return listen_everywhere(port);
    }
    if let Some(fault) = address_fault(address) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
    }
    let listener = TcpListener::bind(address).await?;
    deepen(&SockRef::from(&listener))?;
    Ok(listener)
}

/// Gives a socket that listens the longest queue.
pub(super) fn deepen(socket: &SockRef<'_>) -> io::Result<()> {
    socket.listen(BACKLOG)
}

/// Returns a connection that waits to be accepted. Asks the system itself: tokio knows of it later.
pub(super) fn accept_queued(listener: &SockRef<'_>) -> io::Result<Option<Socket>> {
    match listener.accept() {
        Ok((socket, _)) => {
            socket.set_nonblocking(true)?;
            Ok(Some(socket))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn listen_everywhere(port: u16) -> io::Result<TcpListener> {
    // A system without IPv6 has IPv4 alone.
    let both = TcpSocket::new_v6().and_then(|socket| {
        SockRef::from(&socket).set_only_v6(false)?;
        bind(socket, (Ipv6Addr::UNSPECIFIED, port).into())
    });
    match both {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            bind(TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, port).into())
        }
        both => both,
    }
}

fn bind(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpListener> {
    // As tokio does for its own listeners; on Windows it would let others take the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG.unsigned_abs())
}
