//! The machine of [`proto`](crate::proto) on a socket: who reads, who writes, who is woken. The only
//! part that flushes.
//!
//! # Rules
//! 1. Handles lock the connection and change it themselves; no message goes to a task for it.
//! 2. Who finds something to write and nobody writing, writes: on an idle connection that is the sender
//!    itself, on a busy one the writer task, which first lets the others add to its batch, and while the
//!    reader tells several what one read has brought, the reader, when they have had their turn.
//! 3. What an event asks for (a wake, a cancel of a scope, a handler) happens after the lock is released.
//! 4. Reading never waits for writing, nor writing for reading.
//! 5. What they share is `State`, which knows no socket; `loom` tries every order of threads on it.

#[cfg(feature = "tokio")]
mod link;
#[cfg(all(test, loom))]
mod loom;
#[cfg(feature = "tokio")]
mod read;
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "models need less of it than a socket"))]
mod state;
mod turn;
#[cfg(feature = "tokio")]
mod write;

#[cfg(feature = "tokio")]
pub(crate) use link::Link;
#[cfg(feature = "tokio")]
pub(crate) use read::read_loop;

#[cfg(feature = "tokio")]
use stream_core::stream::WeakStream;
/// Models have no handles to look at.
#[cfg(not(feature = "tokio"))]
#[derive(Clone)]
struct WeakStream;
