//! What all connections of one server share: its handler, its configuration, and how far its shutdown is.

use std::sync::Arc;
use std::time::Duration;

use kerrors::RecvTimeout;
use tokio::sync::watch;

use super::policy::OnCancel;
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
}

impl<H> Serving<H> {
    pub(crate) fn new(handler: H, config: ServerConfig) -> Arc<Self> {
        let (phase, _) = watch::channel(Phase::Serving);
        Arc::new(Self { handler: Arc::new(handler), config, phase })
    }
}
