//! `cargo xtask soak`: a great many streams in every way of ending, and what is left of them: nothing.

use clap::Args;

use crate::Result;
use crate::command::Cmd;

/// Words of `cargo xtask soak`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Streams to open.
    #[arg(long, default_value_t = 1_000_000)]
    streams: u64,
}

pub(crate) fn run(options: &Options) -> Result {
    let soak = command(options.streams);
    println!("   $ {soak}");
    soak.run()
}

/// Ends as many streams, and fails if anything is left of them.
pub(crate) fn command(streams: u64) -> Cmd {
    Cmd::new("cargo run --release --package interop --bin soak -- --streams").arg(streams.to_string())
}
