//! Runs the machine of [`proto`](crate::proto) on an [`Io`]: who reads, who writes, who is woken. The only
//! part that flushes.
//!
//! # Rules
//! 1. Handles lock the connection and change it themselves; no message goes to a task for it.
//! 2. The first who queues something while nobody writes becomes the writer: on an idle connection that is
//!    the sender itself, on a busy one the writer task, which first lets others add to its batch, and while
//!    the reader wakes several tasks for one read, the reader, after they have run.
//! 3. What an event asks for (a wake, a cancel of a scope, a handler) happens after the lock is released.
//! 4. Reading never waits for writing, nor writing for reading.
//! 5. Whatever ends the reader or the writer task ends the connection (`guard`).
//! 6. Time comes from [`clock`](crate::clock), tasks and timers from `rt`, so that loom runs this same code
//!    in every order of threads, without a socket and without tokio.
//!
//! # Layers
//! `scheduler` (who writes) < `state` (the machine, who waits, behind the lock) < `link` (the lock and the
//! stream) < `guard` < `write` (the writer task), `read` (the reader).

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
pub(crate) use read::read_loop;

use crate::io::Io;
use crate::proto::Connection;

/// Starts `connection` on `io`: from now on it writes. It reads as soon as [`read_loop`] is run, and is closed
/// when it has been without a stream for `idle`.
pub(crate) fn start(connection: Connection, io: Io, socket: SocketConfig, idle: Duration) -> Arc<Link> {
    let link = Link::new(connection, io, socket, idle);
    let guard = guard::CloseOnDrop::new(link.clone());
    link.spawner().spawn(write::write_loop(link.clone(), guard));
    link
}
