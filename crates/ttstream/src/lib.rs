//! TTHeader Streaming, and ping-pong calls on the same port.
//!
//! - [`proto`]: the connection and its streams as a pure state machine. No IO, no clock, no async.
//! - `driver` (feature `tokio`, on by default): the state machine on a socket.
//! - [`TtStream`] is the transport for `stream-core`'s client; [`protocols`] returns the protocols for its
//!   server.
//!
//! Payloads are bytes. Flow control, backpressure and the timeouts of a connection are configured by
//! [`proto::Config`].
//!
//! Two connections that exchange bytes in memory:
//!
//! ```
//! use std::io::IoSlice;
//! use std::sync::Arc;
//! use std::task::Poll;
//! use std::time::Instant;
//!
//! use bytes::{Bytes, BytesMut};
//! use kerrors::Side;
//! use stream_core::{Message, Metadata};
//! use ttstream::proto::{
//!     Config, Connection, ConnectionError, Event, Finish, Method, Open, ServerLimits, Transmit,
//! };
//!
//! /// Passes the bytes written by `from` to `to`.
//! fn carry(from: &mut Connection, to: &mut Connection, now: Instant) -> Result<(), ConnectionError> {
//!     let (mut out, mut bytes) = (Transmit::default(), BytesMut::new());
//!     while !out.is_empty() || from.poll_transmit(&mut out) {
//!         let mut slices = [IoSlice::new(&[]); 8];
//!         let filled = out.fill(&mut slices);
//!         let before = bytes.len();
//!         slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
//!         out.advance(bytes.len() - before);
//!     }
//!     to.handle_read(&mut bytes, now)
//! }
//!
//! let now = Instant::now();
//! let mut client = Connection::new(Side::Client, Config::default());
//! let mut server = Connection::server(Config::default(), ServerLimits::default());
//!
//! let open = Open {
//!     method: &Arc::new(Method::new("Ask")?),
//!     metadata: &Metadata::new(),
//!     service: &"gateway".into(),
//!     deadline: None,
//!     wire_deadline: None,
//!     recv_timeout: None,
//! };
//! let stream = client.open(&open, now)?.expect("the send buffer has room");
//! client.send(stream, &Message::Borrowed(b"why?"))?;
//! carry(&mut client, &mut server, now)?;
//!
//! let Some(Event::Opened(incoming)) = server.poll_event() else { panic!("no stream was opened") };
//! assert_eq!(server.recv(incoming, now)?, Poll::Ready(Some(Bytes::from_static(b"why?"))));
//! server.finish(incoming, &Finish::default());
//! carry(&mut server, &mut client, now)?;
//!
//! // The clean end of the stream.
//! assert_eq!(client.recv(stream, now)?, Poll::Ready(None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
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

pub mod proto;
mod status;

// Models drive it without tokio, and use a part of it.
#[cfg(any(feature = "tokio", all(test, loom)))]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "models use a part of it"))]
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
#[cfg(all(fuzzing, feature = "tokio"))]
#[doc(hidden)]
pub use unary::fuzz;

#[cfg(all(test, loom))]
use stream_core::models;
use stream_core::{Message, Metadata, Traffic, buffer_pool, cancel};
#[cfg(any(feature = "tokio", all(test, loom)))]
use stream_core::{clock, io, rt, sync};
