//! The server: gRPC connections, their streams and unary calls.

mod accept;
mod driver;
mod protocol;
mod shared;
mod stream;
mod unary;

pub use protocol::protocols;
