//! The machine of [`proto`](crate::proto) on a socket: who reads, who writes, who is woken. The only
//! part that flushes.
//!
//! # Rules
//! 1. Handles lock the connection and change it themselves; no message goes to a task for it.
//! 2. Who finds something to write and nobody writing, writes: on an idle connection that is the sender
//!    itself, on a busy one the writer task, which first lets the others add to its batch.
//! 3. What an event asks for (a wake, a cancel of a scope, a handler) happens after the lock is released.
//! 4. Reading never waits for writing, nor writing for reading.

mod link;
mod read;
mod socket;
mod write;

pub(crate) use link::Link;
pub(crate) use read::read_loop;
pub(crate) use socket::{configure, connect};
