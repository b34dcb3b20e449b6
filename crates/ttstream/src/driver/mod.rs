//! Runs the state machine of [`proto`](crate::proto) on an [`Io`]: reads, writes, and wakes tasks. The only
//! part that flushes.
//!
//! # Rules
//! 1. Handles lock the connection and change it themselves; they send no messages to a task.
//! 2. The first task that queues data while no one is writing becomes the writer: on an idle connection the
//!    sender itself, on a busy one the writer task, which first yields so that others can add to its batch,
//!    and while the reader wakes several tasks for one read, the reader, after they have run.
//! 3. The actions of an event (a wake, a cancel of a scope, a handler) run after the lock is released.
//! 4. Reading never waits for writing, nor writing for reading.
//! 5. The end of the reader or the writer task, for any reason, ends the connection (`guard`).
//! 6. Time comes from [`clock`](crate::clock), tasks and timers from `rt`, so that loom runs this same code
//!    in all interleavings of threads, without a socket and without tokio.
//!
//! # Layers
//! `scheduler` (which task writes), `actions` (what a change causes) < `state` (state machine and wakers, behind the
//! lock) < `link` (the lock and the stream) < `guard` < `write` (the writer task), `read` (the reader).

mod actions;
mod config;
mod guard;
mod link;
#[cfg(all(test, loom))]
mod loom;
mod observed;
mod read;
mod scheduler;
mod state;
#[cfg(all(test, feature = "tokio"))]
mod tests;
mod write;

use std::sync::Arc;
use std::time::Duration;

#[cfg_attr(not(feature = "tokio"), allow(unreachable_pub, reason = "public with a runtime"))]
pub use config::SocketConfig;
pub(crate) use link::Link;
#[cfg(feature = "tokio")]
pub(crate) use link::is_reset;
#[cfg(feature = "tokio")]
pub(crate) use read::RESET_PAUSES;
#[cfg(feature = "tokio")]
pub(crate) use read::read_loop;

use stream_core::MemoryBudget;

use crate::io::Io;
use crate::proto::Connection;

/// Starts `connection` on `io`: from now on it writes. It reads as soon as [`read_loop`] runs, and is closed
/// when it was without streams for the idle timeout `idle`. What it holds is counted in `memory`.
pub(crate) fn start(
    connection: Connection,
    io: Io,
    socket: SocketConfig,
    idle: Duration,
    memory: MemoryBudget,
) -> Arc<Link> {
    let link = Link::new(connection, io, socket, idle, memory);
    let guard = guard::CloseOnDrop::new(link.clone());
    link.spawner().spawn(write::write_loop(link.clone(), guard));
    link
}
