//! `cargo xtask differential`: generated TTHeader frames, decoded by `ttheader-codec` and by gopkg.

use clap::Args;

use crate::Result;
use crate::command::Cmd;
use crate::interop::build_peer;
use crate::workspace::Workspace;

/// Arguments of `cargo xtask differential`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Number of frames.
    #[arg(long, default_value_t = 100_000)]
    frames: u64,
    /// Seed of the frames.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> Result {
    let peer = build_peer(&Workspace::load()?)?;
    let command = Cmd::new("cargo run --release --package interop --bin differential -- --kitex").path(&peer);
    let command = command.arg("--frames").arg(options.frames.to_string());
    let command = command.arg("--seed").arg(options.seed.to_string());
    command.start()
}
