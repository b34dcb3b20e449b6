//! The cancellation tree. A [`Scope`] is a node; scopes made from it, and streams opened under it, are
//! its children. Canceling a scope ends everything below it, at once, with one reason.
//!
//! Knows no transport, no clock and no runtime: a stream is a [`Target`] that can be told to end.
//!
//! # Invariants
//! 1. A canceled scope stays canceled, and its first reason stays its reason.
//! 2. Whatever joins a canceled scope is told so when it joins; nothing joins unseen.
//! 3. A child is told at most once by its parent, and never after it has left.
//! 4. One lock is held at a time, and nothing is called under it: children and wakers are collected,
//!    the lock is released, then they are told. So no order of locks can deadlock, and a target may
//!    lock whatever it likes.
//! 5. Depth costs heap, not stack: a cascade is a loop.

mod reason;
mod scope;

pub use reason::Reason;
pub use scope::{Canceled, Registration, Scope, Target};
