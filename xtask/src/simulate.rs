//! `cargo xtask simulate`: chains of services under random faults, in virtual time, for many seeds.

use clap::Args;

use crate::Result;
use crate::command::Cmd;

/// Arguments of `cargo xtask simulate`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Seeds for each transport.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
}

pub(crate) fn run(options: &Options) -> Result {
    let seeds = format!("{}..{}", options.first, options.first.saturating_add(options.seeds));
    let test = Cmd::new("cargo test --release --package kitex --features simulation --test simulate --");
    test.arg("simulated_chains").env("KITEX_SEEDS", seeds).start()
}
