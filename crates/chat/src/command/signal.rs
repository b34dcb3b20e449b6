//! Ctrl-C: the first requests a cancel, the second exits immediately.

use std::future::{Future, pending};

use tokio::signal::ctrl_c;
use tokio::sync::oneshot;

/// Returns a future that completes at the first Ctrl-C; a second one exits the process.
pub(super) fn interrupt() -> impl Future<Output = ()> + Send + 'static {
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        if ctrl_c().await.is_ok() {
            // The receiver may have been dropped.
            let _ = sender.send(());
            exit_at_the_next().await;
        }
    });
    async move {
        match receiver.await {
            Ok(()) => {}
            // No handler for Ctrl-C could be installed: it ends the process as by default.
            Err(_) => pending().await,
        }
    }
}

/// Waits for a request to stop: Ctrl-C or SIGTERM.
pub(super) async fn stopped() {
    tokio::select! {
        () = interrupt() => {}
        () = terminated() => drop(tokio::spawn(exit_at_the_next())),
    }
}

async fn exit_at_the_next() {
    if ctrl_c().await.is_ok() {
        std::process::exit(INTERRUPTED.into());
    }
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    pending().await
}

/// The exit status after Ctrl-C, by the convention of shells.
pub const INTERRUPTED: u8 = 130;
