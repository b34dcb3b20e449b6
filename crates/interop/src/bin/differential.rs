//! Decodes generated TTHeader frames by `ttheader-codec` and by gopkg, and compares.
//!
//! ```text
//! cargo xtask differential
//! ```

use std::process::ExitCode;

use clap::Parser;
use interop::differential;

#[derive(Debug, Parser)]
#[command(about = "Decodes the same frames by ttheader-codec and by gopkg")]
struct Args {
    /// The program of the peer on real Kitex.
    #[arg(long, value_name = "PROGRAM")]
    kitex: String,
    /// Number of frames.
    #[arg(long, default_value_t = 100_000)]
    frames: u64,
    /// Seed of the frames.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let Args { kitex, frames, seed } = Args::parse();
    match differential::run(&kitex, seed, frames) {
        Ok(counts) => {
            print!("{frames} frames of seed {seed}\n{}", counts.show());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::FAILURE
        }
    }
}
