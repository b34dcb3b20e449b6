//! Streaming RPC with stream lifecycle control, independent of the transport.
//!
//! - [`cancel`]: the cancellation tree. The streams that a handler opened under its scope end with the scope.
//! - `transport` (feature `tokio`, on by default, like all below): the traits that a transport implements.
//! - `stream`: the handles of a stream. `observe`: events and views of streams.
//! - `client`: opens streams on pooled connections. `dial`: addresses and sockets.
//! - `handler`: the contract of handlers, and the policy on a cancel. `server`: accepts connections, and
//!   shuts down gracefully. `accept`: a secure layer, such as TLS, between the two.
//!
//! Messages are bytes here. TTHeader Streaming is the crate `ttstream`.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use stream_core::cancel::{Reason, Scope, Target};
//!
//! /// In place of the streams of a connection, each of which has a number.
//! #[derive(Default)]
//! struct Streams(Mutex<Vec<u64>>);
//!
//! impl Target for Streams {
//!     fn cancel(&self, token: u64, _: &Reason) {
//!         self.0.lock().unwrap().push(token);
//!     }
//! }
//!
//! let streams = Arc::new(Streams::default());
//! let handler = Scope::new();
//! let subtask = handler.child();
//! let _first = handler.register(streams.clone(), 1).unwrap();
//! let _second = subtask.register(streams.clone(), 2).unwrap();
//! let ended = handler.register(streams.clone(), 3).unwrap();
//! drop(ended);
//!
//! handler.cancel(&Reason::DeadlineExceeded);
//! assert!(matches!(subtask.reason(), Some(Reason::DeadlineExceeded)));
//! let mut canceled = streams.0.lock().unwrap().clone();
//! canceled.sort_unstable();
//! assert_eq!(canceled, [1, 2]);
//! // Nothing can be opened under a canceled scope.
//! assert!(subtask.register(streams.clone(), 4).is_err());
//! ```
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod boxed;
#[doc(hidden)]
pub mod buffer_pool;
pub mod cancel;
mod extensions;
#[doc(hidden)]
pub mod guard;
#[doc(hidden)]
pub mod memory;
mod message;
mod metadata;
mod metainfo;
mod method;
#[cfg(loom)]
#[doc(hidden)]
pub mod models;
mod phase;
mod retryable;
#[doc(hidden)]
pub mod sync;

#[cfg(feature = "tokio")]
pub mod accept;
#[cfg(feature = "tokio")]
pub mod call;
#[cfg(feature = "tokio")]
pub mod client;
#[cfg(feature = "tokio")]
mod cores;
#[cfg(feature = "tokio")]
pub mod dial;
#[cfg(feature = "tokio")]
pub mod handler;
#[cfg(feature = "tokio")]
#[doc(hidden)]
pub mod log_limit;
#[cfg(feature = "tokio")]
pub mod observe;
#[cfg(feature = "tokio")]
mod overload;
#[cfg(feature = "tokio")]
#[doc(hidden)]
pub mod random;
#[cfg(feature = "tokio")]
pub mod server;
#[cfg(feature = "tokio")]
pub mod stream;
#[cfg(feature = "tokio")]
pub mod transport;

// Models drive these without tokio.
#[cfg(any(feature = "tokio", loom))]
pub mod clock;
#[cfg(any(feature = "tokio", loom))]
pub mod io;
#[cfg(any(feature = "tokio", loom))]
#[doc(hidden)]
pub mod rt;

pub use boxed::BoxFuture;
#[cfg(feature = "tokio")]
pub use cores::{ThreadPerCore, spawn_with_runtime};
pub use extensions::Extensions;
pub use memory::MemoryBudget;
pub use message::{Message, Traffic};
pub use metadata::Metadata;
pub use metainfo::{Metainfo, Pair, find_pair, is_folded};
pub use method::{Method, PayloadCodec, StreamingMode};
pub use phase::{StreamPhase, UNREAD_FOR};
pub use retryable::Retryable;
