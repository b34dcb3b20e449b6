//! The workloads. Each is created once and repeated with the same input: nothing here reads a clock, and only
//! the seeds of hash maps are random.

mod calls;
mod codec;
mod payload;
mod proto;
mod tree;

pub use calls::{Calls, Telemetry};
pub use codec::{DataHeader, HeaderFrame};
pub use payload::Message;
pub use proto::Pair;
pub use tree::Tree;
