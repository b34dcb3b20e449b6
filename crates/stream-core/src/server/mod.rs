//! Accepts connections, tells what each speaks by its first bytes, and runs handlers.

mod accept;
mod handler;
mod preface;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use accept::Server;
pub(crate) use accept::{Phase, Serving};
pub use handler::{HandlerError, Incoming, StreamEnd};
pub(crate) use handler::{guard, panicked};

use kerrors::ApplicationException;

use crate::Cores;
use crate::observe::Observers;
use crate::proto::Config;
use crate::unary::{UnaryAnswer, UnaryCall};

/// What becomes of a handler whose stream is canceled under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    /// Its Send, Recv and scope tell it; when it returns is its own affair.
    Notify,
    /// They tell it, and if it has not returned after this time its future is dropped.
    NotifyThenDrop(Duration),
    /// Its future is dropped at once.
    Drop,
}

impl Default for OnCancel {
    fn default() -> Self {
        Self::NotifyThenDrop(Duration::from_secs(1))
    }
}

/// How a server treats its peers.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Bounds of each connection.
    pub connection: Config,
    /// What becomes of a handler whose stream is canceled. Default: dropped after 1 s.
    pub on_cancel: OnCancel,
    /// How long a new connection may take for the eight bytes that tell what it speaks. Default 5 s.
    pub preface_timeout: Duration,
    /// How long each Send of a handler may wait. Then its stream ends with code 12904. Default: as long as
    /// the stream lives.
    pub send_timeout: Option<Duration>,
    /// Connections at once; one more is closed as soon as it is accepted. Default 65,536.
    pub max_connections: usize,
    /// Who is told of each stream's life.
    pub observers: Observers,
    /// The server's own service name: what a cancel from here puts on its path.
    pub service: Arc<str>,
    /// How long a connection of streams may be without one before it is closed. Default 10 min.
    pub idle_timeout: Duration,
    /// Where connections are served, each on the next thread. Default: on the runtime that accepts them.
    pub cores: Option<Cores>,
    /// How long what runs may go on when the server shuts down. Default 5 s.
    pub exit_wait: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            connection: Config::default(),
            on_cancel: OnCancel::default(),
            preface_timeout: Duration::from_secs(5),
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

/// Serves what peers ask for. Each call runs on a task of its own; a panic ends that call alone.
pub trait Handler: Send + Sync + 'static {
    /// Finds who serves a stream to its end.
    ///
    /// # Errors
    /// There is nobody.
    fn stream(
        self: Arc<Self>,
        incoming: Incoming,
    ) -> Result<Served<impl Future<Output = StreamEnd> + Send + 'static>, ApplicationException>;

    /// Finds who serves a ping-pong call.
    ///
    /// # Errors
    /// There is nobody.
    fn unary(
        self: Arc<Self>,
        call: UnaryCall,
    ) -> Result<Served<impl Future<Output = UnaryAnswer> + Send + 'static>, ApplicationException>;
}

/// A call that somebody serves.
#[derive(Debug)]
pub struct Served<F> {
    /// Does it.
    pub handler: F,
    /// What becomes of it on a cancel, if not what the server's configuration says.
    pub on_cancel: Option<OnCancel>,
}

/// Who is at the other end of a call.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
}
