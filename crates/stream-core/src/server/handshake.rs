//! Passes accepted connections through the server's acceptor: bounds the time, the number and the log lines of handshakes.
//! Knows no TLS.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::warn;

use crate::accept::Secured;
use crate::clock;
use crate::handler::ServerConfig;
use crate::io::{Address, Io};
use crate::log_limit::LogLimit;

/// The handshakes of a server.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// Those that are not complete.
    running: AtomicUsize,
    /// Bounds the log lines that a client can cause.
    too_many: LogLimit,
    failed: LogLimit,
}

impl Handshakes {
    /// Returns the connection on which the protocol is detected: `io` itself if the server has no acceptor, `None` if the
    /// connection was refused, which is logged.
    pub(super) async fn secure(&self, config: &ServerConfig, io: Io, peer: &Address) -> Option<Secured> {
        let Some(acceptor) = &config.acceptor else { return Some(Secured::unchanged(io)) };
        let Some(_permit) = Permit::new(&self.running, config.max_handshakes) else {
            if let Some(suppressed) = self.too_many.allows(clock::now()) {
                let limit = config.max_handshakes;
                warn!(limit, suppressed, "too many connections in a handshake: closing the newest");
            }
            return None;
        };
        let handshake = tokio::time::timeout(config.handshake_timeout, acceptor.accept(io)).await;
        let secured = handshake.unwrap_or_else(|_| {
            let text = format!("no handshake within {}", kerrors::GoDuration(config.handshake_timeout));
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        });
        if let Err(error) = &secured
            && let Some(suppressed) = self.failed.allows(clock::now())
        {
            warn!(%peer, suppressed, "closing connection: {error}");
        }
        secured.ok()
    }
}

/// Counts a connection while it is in its handshake.
struct Permit<'a>(&'a AtomicUsize);

impl<'a> Permit<'a> {
    fn new(count: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let permit = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < limit).then_some(permit)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
