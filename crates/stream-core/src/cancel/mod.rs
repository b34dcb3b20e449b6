//! The cancellation tree. A [`Scope`] is a node; scopes made from it, and streams opened under it, are
//! its children. Canceling a scope ends everything below it, at once, with one reason.
//!
//! Knows no transport, no clock and no runtime: a stream is a [`Target`] that can be canceled.
//!
//! # Invariants
//! 1. A canceled scope stays canceled, and its first reason stays its reason.
//! 2. Registering with a canceled scope returns its reason; no registration is missed.
//! 3. A parent cancels a child at most once, and not after the child has unregistered, unless it unregisters
//!    during the cascade.
//! 4. At most one lock of the tree is held at a time, and nothing is called under it: children and wakers are
//!    collected, the lock is released, then they are canceled and woken. So there is no lock order that could
//!    deadlock, a target may take any lock, and a caller may close a scope while holding a lock of its own.
//! 5. A scope reports an ancestor's cancel as soon as it happened, even before the cascade arrives.
//! 6. Depth costs heap, not stack: a cascade is a loop.

mod inline_slab;
#[cfg(all(test, loom))]
mod loom;
mod reason;
mod scope;

pub use reason::Reason;
pub use scope::Cascade;
pub use scope::{Canceled, Label, Registration, Scope, Target};
