//! The client: gRPC connections, their streams and ping-pong calls.

mod calls;
mod connection;
mod handle;
mod link;
mod stream;

pub use connection::GrpcTransport;
