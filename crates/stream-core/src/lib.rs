//! TTHeader Streaming with stream lifecycle control: connections, streams, and the tree along which a
//! cancel runs.
//!
//! - [`proto`]: the connection and its streams as a pure state machine. No IO, no clock, no async.
//! - [`cancel`]: the tree of scopes. What a handler opened under its scope ends when the scope ends.
//! - `driver`, `stream`, `client`, `server`, `unary` (feature `tokio`, on by default): the machine on
//!   sockets, the handles that people hold, connection pools, and the handlers' home.
//!
//! Knows no Thrift but the message that carries an error; payloads are bytes here.
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

mod buffer_pool;
pub mod cancel;
mod metadata;
#[cfg(all(test, loom))]
mod models;
pub mod proto;
mod status;
mod sync;

#[cfg(feature = "tokio")]
pub mod client;
#[cfg(feature = "tokio")]
mod cores;
#[cfg(feature = "tokio")]
pub mod observe;
#[cfg(feature = "tokio")]
pub mod server;
#[cfg(feature = "tokio")]
pub mod stream;
#[cfg(feature = "tokio")]
pub mod unary;

// Models drive these without tokio, and use less of them.
#[cfg(any(feature = "tokio", all(test, loom)))]
mod clock;
#[cfg(any(feature = "tokio", all(test, loom)))]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "models use less of it"))]
mod driver;
#[cfg(any(feature = "tokio", all(test, loom)))]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "models use less of it"))]
pub mod io;
#[cfg(any(feature = "tokio", all(test, loom)))]
mod rt;

#[cfg(feature = "tokio")]
pub use cores::Cores;
pub use metadata::Metadata;
pub use proto::Method;
