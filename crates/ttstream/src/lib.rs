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
mod spare;
mod status;

// Its shared state alone where loom looks at it, which knows no socket.
#[cfg(any(feature = "tokio", all(test, loom)))]
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
pub use protocol::protocols;
#[cfg(feature = "tokio")]
pub use transport::TtStream;
#[cfg(feature = "tokio")]
pub use unary::CallProtocol;

#[cfg(any(feature = "tokio", all(test, loom)))]
use stream_core::sync;
use stream_core::{Message, Metadata, Traffic, cancel};
