//! What all connections of one server share: its handler, its configuration, and how far its shutdown is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kerrors::RecvTimeout;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::Handler;
use super::policy::OnCancel;
use super::tasks::TaskTracker;
use crate::cores::Cores;
use crate::observe::Observers;

/// How a server treats its peers, whatever protocol they speak.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// What becomes of a handler whose stream is canceled. Default: dropped after 1 s.
    pub on_cancel: OnCancel,
    /// The longest time until a new connection has sent the eight bytes that tell its protocol. Default 5 s.
    pub preface_timeout: Duration,
    /// Handlers that may run at the same time on one connection. A handler counts until it returns, even if its
    /// stream has ended; a stream beyond the limit is refused with code 12900. Default 1,024.
    pub max_concurrent_streams: usize,
    /// The longest wait of each Recv of a handler. Default: unlimited.
    pub recv_timeout: Option<RecvTimeout>,
    /// The longest wait of each Send of a handler; then its stream ends with code 12904. Default: unlimited.
    pub send_timeout: Option<Duration>,
    /// Connections at once; one more is closed as soon as it is accepted. Default 65,536.
    pub max_connections: usize,
    /// Observers of each stream.
    pub observers: Observers,
    /// The server's own service name: the name that a cancel from here adds to its path.
    pub service: Arc<str>,
    /// The longest time that a connection of streams may have none before it is closed. Default 10 min.
    pub idle_timeout: Duration,
    /// The threads that serve connections, each connection on the next. Default: the runtime that accepts.
    pub cores: Option<Cores>,
    /// The longest time that running handlers may take when the server shuts down. Default 5 s.
    pub exit_wait: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            on_cancel: OnCancel::default(),
            preface_timeout: Duration::from_secs(5),
            max_concurrent_streams: 1024,
            recv_timeout: None,
            send_timeout: None,
            max_connections: 65_536,
            observers: Observers::default(),
            service: Arc::from(""),
            idle_timeout: Duration::from_secs(600),
            cores: None,
            exit_wait: Duration::from_secs(5),
        }
    }
}

/// How far the shutdown of a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Nothing new is begun.
    Draining,
    /// What still runs is canceled.
    Closing,
}

#[derive(Debug)]
pub(crate) struct Serving<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) config: ServerConfig,
    /// Each connection subscribes for as long as it is open.
    pub(crate) phase: watch::Sender<Phase>,
    tasks: TaskTracker,
    /// The longest time, in milliseconds, that a handler was promised after a cancel.
    longest_grace: AtomicU64,
}

/// The longest time for what is queued to be written after everything has ended.
const FLUSH: Duration = Duration::from_secs(1);

/// The same if the server is to end at once.
const LAST_FLUSH: Duration = Duration::from_millis(100);

impl<H> Serving<H> {
    pub(crate) fn new(handler: H, config: ServerConfig) -> Arc<Self>
    where
        H: Handler,
    {
        let (phase, _) = watch::channel(Phase::Serving);
        let tasks = TaskTracker::default();
        handler.set_tasks(tasks.clone());
        Arc::new(Self { handler: Arc::new(handler), config, phase, tasks, longest_grace: AtomicU64::new(0) })
    }

    /// Returns what becomes of a handler on a cancel, whose own policy is `own`. A shutdown keeps what it promises.
    pub(crate) fn policy(&self, own: Option<OnCancel>) -> OnCancel {
        let policy = own.unwrap_or(self.config.on_cancel);
        if let OnCancel::NotifyThenDrop(grace) = policy {
            let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            // Read first: it hardly ever changes, and all handlers share it.
            if grace > self.longest_grace.load(Ordering::Relaxed) {
                self.longest_grace.fetch_max(grace, Ordering::Relaxed);
            }
        }
        policy
    }

    /// Ends the server: begins nothing new, and lets what runs go on for the exit wait. What is left then is canceled,
    /// and has the time that its policy promises; work that handlers have left to the tracker has that time or the
    /// exit wait once more, whichever is longer.
    pub(crate) async fn shut_down(&self) {
        self.phase.send_replace(Phase::Draining);
        let ended = async {
            self.phase.closed().await;
            self.tasks.idle().await;
        };
        if timeout(self.config.exit_wait, ended).await.is_ok() {
            return;
        }
        self.phase.send_replace(Phase::Closing);
        let (began, grace) =
            (Instant::now(), Duration::from_millis(self.longest_grace.load(Ordering::Relaxed)));
        let until = |wait: Duration| began.checked_add(wait.saturating_add(FLUSH));
        within(until(grace), self.phase.closed()).await;
        within(until(grace.max(self.config.exit_wait)), self.tasks.idle()).await;
    }

    /// Ends the server at once: cancels what runs, and waits for no handler.
    pub(crate) async fn end_now(&self) {
        self.phase.send_replace(Phase::Closing);
        let _ = timeout(LAST_FLUSH, self.phase.closed()).await;
    }
}

/// Waits for `event`, no longer than `until`.
async fn within(until: Option<Instant>, event: impl Future<Output = ()>) {
    match until {
        // What is left then is left to its runtime.
        Some(until) => drop(timeout_at(until, event).await),
        None => event.await,
    }
}
