//! The signals that tell a process to end.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for SIGTERM and SIGINT (Ctrl-C); elsewhere for Ctrl-C alone.
pub(super) struct Signals {
    #[cfg(unix)]
    term: Signal,
    #[cfg(unix)]
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    /// # Errors
    /// The system does not let the process listen.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal. Returns the exit status of a process that it ends.
    pub(super) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.term.recv() => 128 + SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => 128 + SignalKind::interrupt().as_raw_value(),
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// # Errors
    /// None.
    #[expect(clippy::unnecessary_wraps, reason = "the same on every system")]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for Ctrl-C. Returns the exit status of a process that it ends.
    pub(super) async fn next(&mut self) -> i32 {
        // Without signals the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        130
    }
}

/// Lets the next signal end the process. tokio never gives a signal back to the system once it has listened for it, so
/// without this a program could not be interrupted any more.
pub(super) fn end_with_the_next_signal() {
    if let Ok(mut signals) = Signals::listen() {
        tokio::spawn(async move { std::process::exit(signals.next().await) });
    }
}
