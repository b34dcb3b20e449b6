//! The client: gRPC connections, their streams and ping-pong calls.

mod calls;
mod connection;
mod link;
mod stream;

pub use connection::GrpcTransport;
