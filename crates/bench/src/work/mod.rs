//! The pieces of work. Each is made once and done again and again, with the same input each time: nothing
//! here reads a clock, and nothing is random but the seeds of hash maps.

mod codec;
mod payload;
mod proto;
mod tree;

pub use codec::{DataHeader, HeaderFrame};
pub use payload::Message;
pub use proto::Pair;
pub use tree::Tree;
