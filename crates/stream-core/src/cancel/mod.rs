//! The cancellation tree. A [`Scope`] is a node; scopes made from it, and streams opened under it, are
//! its children. Canceling a scope ends everything below it, at once, with one reason.
//!
//! Knows no transport, no clock and no runtime: a stream is a [`Target`] that can be told to end.
//!
//! # Invariants
//! 1. A canceled scope stays canceled, and its first reason stays its reason.
//! 2. Whatever joins a canceled scope is told so when it joins; nothing joins unseen.
//! 3. A child is told at most once by its parent, and not after it has left, unless it leaves while a
//!    cancel is on its way to it.
//! 4. One lock of the tree is held at a time, and nothing is called under it: children and wakers are
//!    collected, the lock is released, then they are told. So no order of locks can deadlock, a target may
//!    lock whatever it likes, and a scope may be closed by who holds a lock of his own.
//! 5. A cancel counts below before it has come down: whoever knows of it finds its reason, not his own.
//! 6. Depth costs heap, not stack: a cascade is a loop.

mod few;
#[cfg(all(test, loom))]
mod loom;
mod reason;
mod scope;

pub use reason::Reason;
pub use scope::Cascade;
pub use scope::{Canceled, Label, Registration, Scope, Target};
