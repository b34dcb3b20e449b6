//! The test service and what its peers have in common. The words of `lab-peer` and the lines it prints
//! are those of its twin on real Kitex, in `kitex-peer/`.

/// The test service, generated from `idl/lab.thrift`.
#[path = "generated/lab.rs"]
mod generated;

pub mod bench;
pub mod client;
pub mod dial;
pub mod isolate;
pub mod latency;
pub mod line;
pub mod local;
pub mod server;
pub mod stress;
pub mod tally;
pub mod words;

pub use generated::lab;
