//! TCP as this protocol wants it.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Dials `address`, which may be a name.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    configure(&socket)?;
    Ok(socket)
}

/// A dead peer is found within 20 s if something is unacknowledged, within 60 s if not. A small unsent
/// backlog lets an Rst overtake data that the kernel would otherwise hold.
pub fn configure(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(Duration::from_secs(20)))?;
        socket.set_tcp_notsent_lowat(128 * 1024)?;
    }
    Ok(())
}
