//! The signals that end a process.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};

use tokio::runtime::Runtime;
use tokio::sync::watch;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for SIGTERM and SIGINT (Ctrl-C); on systems other than Unix for Ctrl-C only.
struct Signals {
    #[cfg(unix)]
    term: Signal,
    #[cfg(unix)]
    interrupt: Signal,
}

#[cfg(unix)]
impl Signals {
    /// # Errors
    /// The signal handlers cannot be installed.
    fn listen() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal. Returns the exit status of a process that it ends.
    async fn next(&mut self) -> i32 {
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
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for Ctrl-C. Returns the exit status of a process that it ends.
    async fn next(&mut self) -> i32 {
        // Without signals the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        130
    }
}

/// How many [`Server::run`](super::Server::run) are in progress.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// How many signals have come since one is.
static RECEIVED: AtomicUsize = AtomicUsize::new(0);
/// Signals after which the process ends although a server runs: one to shut down, one to force that, and one for a runtime
/// that user code blocks.
const ENOUGH: usize = 3;
/// How many signals were left to the servers that run. They see a signal only here, after it is decided that it does not
/// end the process: otherwise a server that a signal ends could be gone before that is decided.
static FOR_SERVERS: LazyLock<watch::Sender<usize>> = LazyLock::new(|| watch::Sender::new(0));

/// A [`Server::run`](super::Server::run) in progress. While there is one, it is what signals are for; otherwise a signal
/// ends the process.
pub(super) struct Running {
    signals: watch::Receiver<usize>,
    /// The signals before it began.
    before: usize,
}

impl Running {
    /// # Errors
    /// The signal handlers cannot be installed, or the thread that waits for signals cannot be started.
    pub(super) fn begin() -> io::Result<Self> {
        static WATCHED: Mutex<bool> = Mutex::new(false);
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*watched {
            watch()?;
            *watched = true;
        }
        if RUNNING.fetch_add(1, Ordering::AcqRel) == 0 {
            RECEIVED.store(0, Ordering::Release);
        }
        let signals = FOR_SERVERS.subscribe();
        let before = *signals.borrow();
        Ok(Self { signals, before })
    }

    /// Waits for `count` signals since it began.
    pub(super) fn signals(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let (mut signals, before) = (self.signals.clone(), self.before);
        async move {
            // The sender is never dropped.
            let _ = signals.wait_for(|received| received.wrapping_sub(before) >= count).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Starts the thread that ends the process. tokio does not restore the default action of a signal once it has listened for
/// it, so without this a program could no longer be interrupted: after a server has run, or while its runtime is blocked or
/// waits for blocking tasks to end. So the thread has a runtime of its own.
fn watch() -> io::Result<()> {
    let (started, is_started) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("kitex-signals".to_owned());
    thread.spawn(move || match listen() {
        Ok((runtime, signals)) => {
            let _ = started.send(Ok(()));
            runtime.block_on(end_process(signals));
        }
        Err(error) => drop(started.send(Err(error))),
    })?;
    // Within microseconds.
    is_started.recv().unwrap_or_else(|ended| Err(io::Error::other(ended)))
}

fn listen() -> io::Result<(Runtime, Signals)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = runtime.block_on(async { Signals::listen() })?;
    Ok((runtime, signals))
}

async fn end_process(mut signals: Signals) {
    loop {
        let status = signals.next().await;
        let received = RECEIVED.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if RUNNING.load(Ordering::Acquire) == 0 || received >= ENOUGH {
            std::process::exit(status);
        }
        FOR_SERVERS.send_modify(|signals| *signals = signals.wrapping_add(1));
    }
}
