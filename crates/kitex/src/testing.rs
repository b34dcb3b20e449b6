//! Clients and servers in one test, without a port. Connections are in memory, so a test can run on tokio's paused
//! clock, on which deadlines, timeouts and grace periods take no real time.
//!
//! [`Network`] has no delays and no faults. With the feature `simulation`, `simulate` runs a scenario for many seeds on a
//! `Simulation`: a network of named hosts whose links delay, cut and lose what is sent, and whose faults (stalls,
//! partitions, resets, crashes) its seed draws. A failure prints the seed that replays it, byte by byte.
//!
//! ```
//! use kitex::testing::Network;
//! # use kitex::{Response, Call, Client, Context, Method, Server, Service, StreamingMode};
//! # static METHODS: [Method; 1] = [Method::new("Echo", "Echo", StreamingMode::PingPong)];
//! # struct EchoServer;
//! # #[kitex::async_trait]
//! # impl Service for EchoServer {
//! #     fn methods(&self) -> &[Method] { &METHODS }
//! #     async fn call(&self, _: Call) -> kitex::Result<Response> { Ok(Response::none()) }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::new();
//! let server = network.serve(Server::builder("echo").service(EchoServer))?;
//! let client = network.client("echo").caller("test").build()?;
//! client.call_raw(&Context::background(), &METHODS[0], Default::default()).await?;
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod network;
mod server;
#[cfg(feature = "simulation")]
mod simulation;

pub use network::Network;
pub use server::TestServer;
#[cfg(feature = "simulation")]
pub use simulation::{Fault, Faults, Link, Random, Simulation, seeds, simulate};
