//! Servers, their settings, and the calls that handlers get.

mod bound;
mod builder;
mod call;
mod error;
mod readiness;
mod router;
mod service;
mod signals;

pub use bound::Server;
pub use builder::ServerBuilder;
pub use call::{Call, RawCall, Response, ResponseFuture};
pub use error::BindError;
pub use kitex_grpc::{GrpcConfig, StatusStyle};
pub use readiness::Readiness;
pub use service::{Fallback, Service};
pub use stream_core::handler::{OnCancel, ServerStats};
pub use stream_core::server::{Listener, MemoryListener};
pub use ttstream::SocketConfig;
pub use ttstream::proto::Config as ConnectionConfig;
