//! How long a connection may have unacknowledged data.

use std::io;
use std::time::Duration;

/// Ends a connection whose client has not acknowledged data for `timeout`: `TCP_USER_TIMEOUT`, on Linux and Android; on
/// other systems it does nothing.
///
/// A client whose network is gone sends neither FIN nor RST. Its connection is noticed when data is sent to it and is
/// not acknowledged: after [`Sse::keep_alive`](crate::Sse::keep_alive) + `timeout` at the latest. Without this option the
/// system retries for about 15 minutes. With axum: `listener.tap_io(|socket| ...)`.
///
/// # Errors
/// The system refuses the option.
#[cfg(unix)]
pub fn set_lost_peer_timeout(socket: &impl std::os::fd::AsFd, timeout: Duration) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return socket2::SockRef::from(socket).set_tcp_user_timeout(Some(timeout));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (socket, timeout);
        Ok(())
    }
}

/// Does nothing on this system.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn set_lost_peer_timeout<T>(_: &T, _: Duration) -> io::Result<()> {
    Ok(())
}
