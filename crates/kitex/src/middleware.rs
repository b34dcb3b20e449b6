//! Middleware of three kinds, as Kitex has them: around a whole call or stream, at each message that is sent, at
//! each that is received. For clients and for servers.
//!
//! A [`tower_layer::Layer`] wraps whole calls: an [`Invoke`] of a client, a [`Service`](crate::Service) of a
//! server. It can run code before and after the call, or replace it. A [`MessageLayer`] handles each message. For metrics and traces, an [`Observer`](crate::observe::Observer) sees each call and its events.

pub use crate::invoke::{Invoke, RawStream};
pub use crate::message_layer::MessageLayer;
