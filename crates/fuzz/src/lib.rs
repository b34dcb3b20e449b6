//! What the fuzz targets share: how an input is read, frames that a stranger may send, a connection that
//! is watched while it is driven. Knows nothing of sockets and runtimes.
//!
//! A target states what must hold, in asserts; its input is raw bytes where bytes are what a peer sends,
//! and else a [`Script`]. The corpus holds recorded conversations and one input for each rule that is hard to
//! meet by chance; what a run finds goes elsewhere.
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir crates/fuzz pair /tmp/found crates/fuzz/corpus/pair -- -max_total_time=60
//! cargo +nightly fuzz run --fuzz-dir crates/fuzz pair FILE        replays one input
//! ```
#![forbid(unsafe_code)]
#![forbid(unsafe_code)]

// Makes `::kitex` in generated code mean this crate.
extern crate self as kitex;

#[doc(hidden)]
pub use kitex_thrift::generated;

mod frames;
mod handle;
mod pair;
mod peer;
mod script;
mod stranger;
mod verbs;
mod written;

pub use frames::{rest_of_frames, same_meaning};
pub use pair::Pair;
pub use peer::Peer;
pub use script::Script;

/// Structs of every shape, as `kitex-codegen` makes them.
pub mod thrift {
    #![allow(missing_docs)]
    include!("../../kitex-thrift/tests/generated/shapes.rs");
}

/// Text for people has no control character, whoever wrote it.
pub fn check_text(text: &str) {
    assert!(!text.contains(char::is_control), "a control character in {text:?}");
}
