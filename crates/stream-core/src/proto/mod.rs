//! One connection and its streams as a state machine: no IO, no clock, no async.
//!
//! [`Connection`] has four kinds of method. `handle_*`: something came in, and time is an argument.
//! `poll_*`: something is to be done. Bare verbs: the user's wish. Getters: what is.
//!
//! ```text
//!  socket bytes > handle_read > (frame, stream) > Event > poll_event > a waker, a cancel, a handler
//!  socket bytes < poll_transmit < Outbound < open, send, close_send, cancel, finish
//!  timer        > handle_timeout            poll_timeout > timer
//! ```
//!
//! The life of a stream, seen from its client:
//!
//! ```text
//!            open                close_send
//!   ------------------> Open ------------------> HalfClosed
//!                        |                           |
//!                        | trailer or rst received, cancel, deadline, connection lost
//!                        +-----------> Ended <-------+
//! ```
//!
//! And from its server, where the client's trailer half closes and `finish` writes the last frame:
//!
//! ```text
//!    header received        trailer received
//!   ------------------> Open ------------------> HalfClosed
//!                        |                           |
//!                        | finish, rst received, connection lost
//!                        +-----------> Ended <-------+
//! ```

mod config;
mod connection;
mod ending;
mod inbound;
mod method;
mod outbound;
mod recv_flow;
mod stream;
mod table;
mod timers;

pub use config::Config;
#[cfg(any(feature = "tokio", all(test, loom)))]
pub(crate) use connection::handler_returned;
pub use connection::{Connection, Event, Finish, Open, StreamState};
pub use inbound::ConnectionError;
pub use method::Method;
#[cfg(any(feature = "tokio", all(test, loom)))]
pub(crate) use outbound::BATCH;
pub use outbound::{Payload, Transmit};
pub use stream::{StreamId, Traffic};
pub use table::StreamKey;
