//! Middleware of three kinds, as Kitex has them: around a whole call or stream, at each message that is sent, at
//! each that is received. For clients and for servers.
//!
//! Around a whole call stands a [`tower_layer::Layer`]: it wraps an [`Invoke`] at a client, a
//! [`Service`](crate::Service) at a server, and may do anything before, after, or instead. At each message stands a
//! [`MessageLayer`]. To only watch, [`Observer`](crate::observe::Observer) is simpler.

pub use crate::invoke::{Invoke, RawStream};
pub use crate::message_layer::MessageLayer;
