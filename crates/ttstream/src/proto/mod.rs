//! One connection and its streams as a state machine: no IO, no clock, no async.
//!
//! [`Connection`] has four kinds of method. `handle_*`: input, with the time as an argument. `poll_*`:
//! output. Bare verbs: commands from the application. Getters.
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
//!
//! Each file uses files below it only:
//!
//! ```text
//!  commands   inbound          commands of handles; the meaning of each frame
//!             negotiation      of flow control by credits
//!      timeouts                the meaning of each timer
//!       ending                 how a stream ends, here and at the peer
//!     connection               every field of the connection, and operations on them
//!      outbound                order of frames on the wire
//!       table                  streams by id and by key
//!       stream                 one stream: state, role, send half, receive half
//!  state  role  send_half  recv_half  idle
//!  violations
//!  recv_flow  arrival  method  timers  queue  transmit  traffic  event  error  id  config
//!  allowance  credit
//! ```

mod allowance;
mod arrival;
mod commands;
mod config;
mod connection;
mod credit;
mod ending;
mod error;
mod event;
mod id;
mod idle;
mod inbound;
mod method;
mod negotiation;
mod outbound;
mod peer;
mod queue;
mod recv_flow;
mod recv_half;
mod role;
mod send_half;
mod state;
mod stream;
mod table;
#[cfg(all(test, not(loom)))]
mod tests;
mod timeouts;
mod timers;
mod transmit;
mod violations;

#[cfg(feature = "tokio")]
pub(crate) use arrival::{Arrival, Check};
pub use commands::Open;
pub use config::{Config, ServerLimits};
pub use connection::Connection;
pub use ending::Finish;
pub use error::ConnectionError;
#[cfg(any(feature = "tokio", all(test, loom)))]
pub(crate) use error::handler_returned;
pub use event::Event;
pub use id::{StreamId, StreamKey};
pub use method::Method;
#[cfg(any(feature = "tokio", all(test, loom)))]
pub(crate) use outbound::BATCH;
pub use stream::StreamSnapshot;
pub use transmit::Transmit;
