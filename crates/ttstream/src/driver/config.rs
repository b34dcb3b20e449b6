//! The timeouts of a connection's socket, each with its default.

use std::time::Duration;

/// The timeouts of a connection's socket.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SocketConfig {
    /// The time for which the socket may accept no bytes while data is queued (backpressure by the peer). The
    /// connection is then closed with [`TRANSPORT_CLOSING`](kerrors::Code::TRANSPORT_CLOSING). Default: 10 s.
    pub write_timeout: Duration,
    /// The time to spin after each read before parking. Trades CPU for latency; other ready tasks still run.
    /// Default: zero (off).
    pub busy_poll: Duration,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self { write_timeout: Duration::from_secs(10), busy_poll: Duration::ZERO }
    }
}

impl SocketConfig {
    /// Sets [`write_timeout`](Self#structfield.write_timeout).
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets [`busy_poll`](Self#structfield.busy_poll).
    #[must_use]
    pub fn busy_poll(mut self, time: Duration) -> Self {
        self.busy_poll = time;
        self
    }
}
