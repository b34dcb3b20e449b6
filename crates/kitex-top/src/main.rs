//! The program `kitex-top`. Owns the exit status.

use std::process::ExitCode;

use clap::Parser;
use kitex_top::Program;
use tokio::runtime;

fn main() -> ExitCode {
    let program = Program::parse();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(program.run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kitex-top: {error}");
            ExitCode::FAILURE
        }
    }
}
