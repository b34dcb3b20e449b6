//! `cargo xtask soak`: ends many streams in every way, and checks that nothing leaks.

use clap::Args;

use crate::Result;
use crate::command::Cmd;

/// Arguments of `cargo xtask soak`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Streams to open.
    #[arg(long, default_value_t = 1_000_000)]
    streams: u64,
    /// Seconds in which runtimes, dials and servers die at random, in place of streams that end in every way.
    #[arg(long, value_name = "SECONDS")]
    dying: Option<u64>,
    /// Seed of what dies when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> Result {
    let soak = match options.dying {
        Some(seconds) => dying(seconds).arg("--seed").arg(options.seed.to_string()),
        None => command(options.streams),
    };
    soak.start()
}

/// Ends that many streams, and fails if anything leaks.
pub(crate) fn command(streams: u64) -> Cmd {
    Cmd::new("cargo run --release --package interop --bin soak -- --streams").arg(streams.to_string())
}

/// Lets runtimes, dials and servers die for so many seconds, and fails if a call hangs or anything is left.
pub(crate) fn dying(seconds: u64) -> Cmd {
    Cmd::new("cargo run --release --package interop --bin soak -- --dying").arg(seconds.to_string())
}
