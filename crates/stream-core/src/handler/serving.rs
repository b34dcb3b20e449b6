//! The state that all connections of a server share: handler, configuration, and the phase of graceful
//! shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kerrors::RecvTimeout;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::Handler;
use super::admission::Admissions;
use super::policy::OnCancel;
use super::tasks::TaskTracker;
use crate::accept::Acceptor;
use crate::call::{CallHead, CallKind};
use crate::cores::ThreadPerCore;
use crate::guard::{guarded, report};
use crate::memory::MemoryBudget;
use crate::observe::{Observed, Observers};

/// The configuration of a server, for all protocols.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The policy for a handler whose stream is canceled. Default: dropped after 1 s.
    pub on_cancel: OnCancel,
    /// The timeout for the first eight bytes of a new connection, which identify its protocol. Default: 5 s.
    pub preface_timeout: Duration,
    /// Receives each connection before its protocol is detected, to make a secure one of it. Default: none, the
    /// connection is used as it is.
    pub acceptor: Option<Arc<dyn Acceptor>>,
    /// The timeout for the handshake of `acceptor`. Default: 10 s.
    pub handshake_timeout: Duration,
    /// The largest number of connections in a handshake of `acceptor`; further ones are closed as soon as they are
    /// accepted. Default: 1,024.
    pub max_handshakes: usize,
    /// The largest number of handlers that run concurrently on one connection. A handler counts until it
    /// returns, even if its stream has ended; a stream beyond the limit is refused with
    /// [`TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS). Default: 1,024.
    pub max_concurrent_streams: usize,
    /// The largest number of handlers of streams and ping-pong calls that run concurrently on all connections together. A
    /// stream or call beyond the limit waits if `max_queued` permits it, and is refused with
    /// [`TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS) otherwise. The last sixteenth of a limit of 1,024 or more is for
    /// connections that run fewer handlers than others: what is left, divided by one more than the connections that run any.
    /// Default: 65,536.
    pub max_handlers: usize,
    /// The largest number of streams and calls that wait for a handler while `max_handlers` are running: first come, first
    /// served. Default: 0.
    pub max_queued: usize,
    /// The longest time that one waits; then it is refused. It does not wait after its cancel or deadline. Default: 1 s.
    pub max_queue_wait: Duration,
    /// The largest number of streams and calls that begin per second; further ones are refused with
    /// [`TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS). A tenth of it is added each 100 ms, and that of one second is
    /// kept at most. Default: none.
    pub max_qps: Option<u32>,
    /// The timeout of each Recv of a handler. Default: none.
    pub recv_timeout: Option<RecvTimeout>,
    /// The timeout of each Send of a handler; then its stream ends with
    /// [`SEND_TIMEOUT`](kerrors::Code::SEND_TIMEOUT). Default: none.
    pub send_timeout: Option<Duration>,
    /// The largest number of open connections; further ones are closed as soon as they are accepted. Default:
    /// 65,536.
    pub max_connections: usize,
    /// The memory that connections may hold for their clients: near to the limit, new streams are refused with
    /// [`TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS), and new connections closed. Default: [`MemoryBudget::process`].
    pub memory: MemoryBudget,
    /// Observers of each call.
    pub observers: Observers,
    /// The server's own service name: the name that a cancel from here adds to its path.
    pub service: Arc<str>,
    /// The idle timeout: the time after which a connection without streams is closed. Default: 10 min.
    pub idle_timeout: Duration,
    /// The threads that serve connections, assigned round-robin. Default: the runtime that accepts.
    pub cores: Option<ThreadPerCore>,
    /// The time between [`Handler::draining`] and the handover: connections and calls are still accepted, and clients
    /// are not notified. Default: none.
    pub drain_delay: Duration,
    /// The time in which a server that shuts down still serves new streams, calls and connections, after it has
    /// notified its clients, and then for as long again refuses new streams. Default: 100 ms.
    pub handover: Duration,
    /// The time that graceful shutdown gives running handlers to return, after the handover. Default: 5 s.
    pub exit_wait: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            on_cancel: OnCancel::default(),
            preface_timeout: Duration::from_secs(5),
            acceptor: None,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 1024,
            max_concurrent_streams: 1024,
            max_handlers: 65_536,
            max_queued: 0,
            max_queue_wait: Duration::from_secs(1),
            max_qps: None,
            recv_timeout: None,
            send_timeout: None,
            max_connections: 65_536,
            memory: MemoryBudget::default(),
            observers: Observers::default(),
            service: Arc::from(""),
            idle_timeout: Duration::from_secs(600),
            cores: None,
            drain_delay: Duration::ZERO,
            handover: Duration::from_millis(100),
            exit_wait: Duration::from_secs(5),
        }
    }
}

/// The phase of a server's graceful shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Clients are asked to open nothing new here; what they open meanwhile is served.
    HandingOver,
    /// No new streams or calls are started.
    Draining,
    /// Running handlers are canceled.
    Closing,
}

/// A running server, shared by its connections and handlers.
#[derive(Debug)]
pub(crate) struct ServerInner<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) config: ServerConfig,
    /// Each connection subscribes while it is open.
    pub(crate) phase: watch::Sender<Phase>,
    tasks: TaskTracker,
    pub(super) admissions: Arc<Admissions>,
    /// The longest grace period, in milliseconds, of any handler so far.
    longest_grace: AtomicU64,
    /// Whether any handler so far had a policy without a grace period.
    has_unbounded: AtomicBool,
}

/// The time limit for writing queued data after all streams have ended.
const FLUSH: Duration = Duration::from_secs(1);

/// The time limit for writing queued data in a forced shutdown.
const LAST_FLUSH: Duration = Duration::from_millis(100);

impl<H> ServerInner<H> {
    pub(crate) fn new(handler: H, config: ServerConfig) -> Arc<Self>
    where
        H: Handler,
    {
        let (phase, _) = watch::channel(Phase::Serving);
        let tasks = TaskTracker::default();
        handler.set_tasks(tasks.clone());
        let &ServerConfig { max_handlers, max_queued, max_queue_wait, max_qps, .. } = &config;
        let admissions = Admissions::new(max_handlers, max_queued, max_queue_wait, max_qps, &config.memory);
        Arc::new(Self {
            handler: Arc::new(handler),
            admissions,
            config,
            phase,
            tasks,
            longest_grace: AtomicU64::new(0),
            has_unbounded: AtomicBool::new(false),
        })
    }

    /// Returns the policy of a handler, whose own policy is `own`. Graceful shutdown waits for its grace
    /// period.
    pub(crate) fn policy(&self, own: Option<OnCancel>) -> OnCancel {
        let policy = own.unwrap_or(self.config.on_cancel);
        // Read first, since all handlers share them and they rarely change.
        match policy {
            OnCancel::NotifyThenDrop(grace) => {
                let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                if grace > self.longest_grace.load(Ordering::Relaxed) {
                    self.longest_grace.fetch_max(grace, Ordering::Relaxed);
                }
            }
            OnCancel::Notify if !self.has_unbounded.load(Ordering::Relaxed) => {
                self.has_unbounded.store(true, Ordering::Relaxed);
            }
            OnCancel::Notify | OnCancel::Drop => {}
        }
        policy
    }

    /// Lets observers see the start of a call; see [`Observed::server`].
    pub(super) fn observe(
        &self,
        head: &mut CallHead,
        kind: CallKind,
    ) -> (Option<Arc<Observed>>, Result<(), String>)
    where
        H: Handler,
    {
        let ServerConfig { observers, service, .. } = &self.config;
        Observed::server(observers, head, kind, service, |service, method| {
            self.handler.method(service, method)
        })
    }

    /// Announces the shutdown to the handler, and waits for the drain delay.
    pub(crate) async fn announce(&self)
    where
        H: Handler,
    {
        if let Err(text) = guarded(|| self.handler.draining()) {
            report("Handler::draining", &text);
        }
        if !self.config.drain_delay.is_zero() {
            tokio::time::sleep(self.config.drain_delay).await;
        }
    }

    /// Notifies clients that the server shuts down, and serves what they have sent meanwhile.
    pub(crate) async fn hand_over(&self) {
        self.enter(Phase::HandingOver).await;
    }

    /// Refuses new streams, for as long as clients had to leave.
    pub(crate) async fn turn_away(&self) {
        self.enter(Phase::Draining).await;
    }

    /// Gives clients the handover time in `phase`. Ends early if there are no connections, or none are left.
    async fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
        let _ = timeout(self.config.handover, self.phase.closed()).await;
    }

    /// Shuts the server down gracefully: starts nothing new, and lets running handlers continue for the exit
    /// wait. Then the rest is canceled and has the grace period of its policy; background work in the tracker,
    /// and handlers whose policy has no grace period, have that time or the exit wait again, whichever is longer.
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
        let longest = grace.max(self.config.exit_wait);
        let of_handlers = if self.has_unbounded.load(Ordering::Relaxed) { longest } else { grace };
        within(until(of_handlers), self.phase.closed()).await;
        within(until(longest), self.tasks.idle()).await;
    }

    /// Forces the shutdown: cancels running handlers and does not wait for them.
    pub(crate) async fn end_now(&self) {
        self.phase.send_replace(Phase::Closing);
        let _ = timeout(LAST_FLUSH, self.phase.closed()).await;
    }
}

/// Waits for `event`, at most until `until`.
async fn within(until: Option<Instant>, event: impl Future<Output = ()>) {
    match until {
        // After a timeout the remaining tasks are left to their runtime.
        Some(until) => drop(timeout_at(until, event).await),
        None => event.await,
    }
}
