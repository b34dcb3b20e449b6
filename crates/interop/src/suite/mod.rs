//! The interop suite of gRPC (`grpc.testing.TestService`): its server, and its cases as a client runs them.

/// Generated from `idl/grpc_testing.proto`.
#[path = "../generated/grpc_testing.rs"]
mod generated;

mod client;
mod server;

pub use client::{CASES, run};
pub use generated::grpc::testing;
pub use generated::grpc::testing::GRPC_TESTING_DESCRIPTORS as DESCRIPTORS;
pub use server::Suite;

/// Metadata that a server sends back in its header.
const INITIAL: &str = "x-grpc-test-echo-initial";
/// Metadata that a server sends back in its trailer.
const TRAILING: &str = "x-grpc-test-echo-trailing-bin";
