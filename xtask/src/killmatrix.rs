//! `cargo xtask killmatrix`: a chain of five processes, and a fault in its middle.

use clap::Args;

use crate::Result;
use crate::command::Cmd;

/// Arguments of `cargo xtask killmatrix`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs only the cells whose names have this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Cells at the same time, five processes each.
    #[arg(long, default_value_t = 12)]
    at_once: usize,
    /// Minutes after which what has not ended fails.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Prints the text of each end too.
    #[arg(long)]
    texts: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    let command = Cmd::new("cargo run --release --package interop --bin killmatrix -- run --at-once");
    let command = command.arg(options.at_once.to_string());
    let command = command.arg("--minutes").arg(options.minutes.to_string());
    let command = if options.texts { command.arg("--texts") } else { command };
    let command = match &options.only {
        Some(only) => command.arg("--only").arg(only.as_str()),
        None => command,
    };
    command.start()
}
