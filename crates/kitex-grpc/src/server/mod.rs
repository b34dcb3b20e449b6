//! The server: gRPC connections, their streams and unary calls.

mod accept;
mod driver;
mod handle;
mod opening;
mod protocol;
mod shared;
mod state;
mod stream;
mod unary;

pub use protocol::protocols;
