//! Why a server refuses a stream or call: the limits of its handlers, its memory budget, and their texts.

use std::fmt;
use std::time::Duration;

use kerrors::{Code, GoDuration, Side, StreamError};

/// Why a server runs no handler for a stream or call. The text names the limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overload {
    /// More begin than [`ServerConfig::max_qps`](crate::handler::ServerConfig::max_qps) allows.
    Qps(u32),
    /// [`ServerConfig::max_handlers`](crate::handler::ServerConfig::max_handlers) are running, and as many streams and calls wait as
    /// [`ServerConfig::max_queued`](crate::handler::ServerConfig::max_queued) allows.
    Handlers {
        /// The limit of handlers.
        max_handlers: usize,
        /// The limit of the queue.
        max_queued: usize,
    },
    /// Only the part of [`ServerConfig::max_handlers`](crate::handler::ServerConfig::max_handlers) is left that is reserved for
    /// connections that run less than the connection of this one.
    Share {
        /// The limit of handlers.
        max_handlers: usize,
        /// How many of them are reserved.
        reserved: usize,
    },
    /// What the connections of the process hold is near to the limit in bytes of its
    /// [`ServerConfig::memory`](crate::handler::ServerConfig::memory).
    Memory(usize),
    /// No handler was free within [`ServerConfig::max_queue_wait`](crate::handler::ServerConfig::max_queue_wait).
    QueueWait(Duration),
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request over limit: ")?;
        match self {
            Self::Qps(limit) => write!(f, "max_qps={limit}"),
            Self::Handlers { max_handlers, max_queued: 0 } => write!(f, "max_handlers={max_handlers}"),
            Self::Handlers { max_handlers, max_queued } => {
                write!(f, "max_handlers={max_handlers}, max_queued={max_queued}")
            }
            Self::Share { max_handlers, reserved } => {
                write!(f, "max_handlers={max_handlers}, {reserved} of them for connections that run fewer")
            }
            Self::Memory(limit) => write!(f, "memory_budget={limit}"),
            Self::QueueWait(wait) => {
                write!(f, "no handler was free within max_queue_wait={}", GoDuration(*wait))
            }
        }
    }
}

/// The error with which a stream is refused, as the server sees it.
impl From<Overload> for StreamError {
    fn from(overload: Overload) -> Self {
        Self::new(Code::TOO_MANY_STREAMS).on_side(Side::Server).with_cause(overload.to_string())
    }
}
