//! Servers: which services stand on one port, and what a handler gets.

mod builder;
mod call;
mod router;

pub use builder::{BindError, BoundServer, ServerBuilder};
pub use call::{Answer, Answering, Call};
pub use kitex_grpc::GrpcConfig;
pub use stream_core::handler::OnCancel;
pub use ttstream::proto::Config as ConnectionConfig;

use kerrors::Result;

use crate::Method;

/// A service that a server can call. Generated code implements it for a handler.
#[crate::async_trait]
pub trait Service: Send + Sync + 'static {
    /// Its methods; their numbers are their places here.
    fn methods(&self) -> &[Method];

    /// Serves one call of the method with this number.
    async fn call(&self, method: usize, call: Call) -> Result<Answer>;
}

/// A server that is not bound yet; see [`Server::builder`].
#[derive(Debug)]
pub struct Server(());

impl Server {
    /// A server of the service `name`: the name that a cancel through it puts on its path.
    pub fn builder(name: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(name.into())
    }
}
