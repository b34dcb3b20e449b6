//! Ctrl-C: the first is a wish, the second is obeyed at once, whatever the program is busy with.

use std::future::{Future, pending};

use tokio::signal::ctrl_c;
use tokio::sync::oneshot;

/// From now on the first Ctrl-C makes this ready, and a second one ends the process.
pub(super) fn interrupt() -> impl Future<Output = ()> + Send + 'static {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        if ctrl_c().await.is_ok() {
            // Whoever listened may be done.
            let _ = tell.send(());
            exit_at_the_next().await;
        }
    });
    async move {
        match told.await {
            Ok(()) => {}
            // Ctrl-C cannot be listened to. Then it ends the process as it always does.
            Err(_) => pending().await,
        }
    }
}

/// Waits until the process is told to stop, by Ctrl-C or as service managers do.
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

/// Status of a process that Ctrl-C ended, as shells have it.
pub const INTERRUPTED: u8 = 130;
