//! The test service and the shared code of its peers. The arguments and output lines of `lab-peer` are those
//! of the peer on real Kitex, in `kitex-peer/`.

/// The test service, generated from `idl/lab.thrift`.
#[path = "generated/lab.rs"]
mod generated;

pub mod bench;
pub mod client;
pub mod conformance;
pub mod dial;
pub mod differential;
pub mod flood;
pub mod isolate;
pub mod latency;
pub mod line;
pub mod local;
pub mod server;
pub mod stress;
pub mod suite;
pub mod tally;
pub mod words;

pub use generated::lab;
