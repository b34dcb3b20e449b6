//! Servers: which services stand on one port, and what a handler gets.

mod bound;
mod builder;
mod call;
mod error;
mod router;
mod service;
mod signals;

pub use bound::Server;
pub use builder::ServerBuilder;
pub use call::{Call, RawCall, Response, ResponseFuture};
pub use error::BindError;
pub use kitex_grpc::GrpcConfig;
pub use service::{Fallback, Service};
pub use stream_core::handler::OnCancel;
pub use stream_core::server::{Listener, MemoryListener};
pub use ttstream::SocketConfig;
pub use ttstream::proto::Config as ConnectionConfig;
