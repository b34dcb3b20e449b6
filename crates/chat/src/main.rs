//! The program `chat`. Owns the runtime and the exit status.

use std::process::ExitCode;
use std::time::Duration;

use chat::command::{Done, INTERRUPTED, Program};
use clap::Parser;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let program = Program::parse();
    let ended = Runtime::new().map_err(Into::into).and_then(|runtime| {
        let ended = runtime.block_on(program.run());
        // Handlers are dropped here, and their transcripts are written.
        runtime.shutdown_timeout(LAST_WORDS);
        ended
    });
    match ended {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Interrupted) => INTERRUPTED.into(),
        Err(error) => {
            eprintln!("chat: {error}");
            ExitCode::FAILURE
        }
    }
}

const LAST_WORDS: Duration = Duration::from_secs(2);
