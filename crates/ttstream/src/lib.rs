//! TTHeader Streaming, and the ping-pong calls that share its port.
//!
//! - [`proto`]: the connection and its streams as a pure state machine. No IO, no clock, no async.
//! - `driver` (feature `tokio`, on by default): the machine on a socket.
//! - [`TtStream`] is the transport for `stream-core`'s client, [`protocols`] are those for its server.
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

pub mod proto;
mod status;

// Models drive it without tokio, and use less of it.
#[cfg(any(feature = "tokio", all(test, loom)))]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "models use less of it"))]
mod driver;
#[cfg(feature = "tokio")]
mod head;
#[cfg(feature = "tokio")]
mod protocol;
#[cfg(feature = "tokio")]
mod stream;
#[cfg(feature = "tokio")]
mod transport;
#[cfg(feature = "tokio")]
mod unary;

#[cfg(feature = "tokio")]
pub use driver::SocketConfig;
#[cfg(feature = "tokio")]
pub use protocol::protocols;
#[cfg(feature = "tokio")]
pub use transport::TtStream;
#[cfg(feature = "tokio")]
pub use unary::CallProtocol;

#[cfg(all(test, loom))]
use stream_core::models;
use stream_core::{Message, Metadata, Traffic, buffer_pool, cancel};
#[cfg(any(feature = "tokio", all(test, loom)))]
use stream_core::{clock, io, rt, sync};
