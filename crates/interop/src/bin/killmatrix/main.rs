//! The kill matrix: a chain of a client and four services, each a process, and a fault in its middle. In every cell each
//! program must see its stream end with the right code within a bound.
//!
//! ```text
//! cargo xtask killmatrix
//! cargo xtask killmatrix --only "gRPC Kill"
//! ```

mod caller;
mod hop;
mod link;
mod matrix;
mod net;
mod process;
mod run;
mod table;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Handle;

use self::matrix::Cell;
use self::table::Verdict;

#[derive(Debug, Parser)]
#[command(about = "Five processes, and a fault in the middle")]
struct Words {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Runs the matrix.
    Run(RunArgs),
    /// Is a service of a chain.
    Hop(hop::HopArgs),
    /// Is the client of a chain.
    Caller(caller::CallerArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Runs the cells whose names have this.
    #[arg(long, default_value = "")]
    only: String,
    /// Prints the text of each end too.
    #[arg(long)]
    texts: bool,
    /// Minutes after which what has not ended fails.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Cells at the same time.
    #[arg(long, default_value_t = 12)]
    at_once: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Words::parse().role {
        Role::Run(args) => return run_all(&args).await,
        Role::Hop(args) => hop::run(args).await,
        Role::Caller(args) => caller::run(args).await,
    };
    if let Err(error) = ended {
        eprintln!("killmatrix: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run_all(args: &RunArgs) -> ExitCode {
    let cells: Vec<Cell> =
        matrix::cells().into_iter().filter(|cell| cell.name().contains(&args.only)).collect();
    let limit = Instant::now() + Duration::from_secs(args.minutes.saturating_mul(60));
    let (runtime, at_once, texts) = (Handle::current(), args.at_once.max(1), args.texts);
    // Threads, since each waits for processes; the runtime is that of the proxies.
    let judged = tokio::task::spawn_blocking(move || {
        let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let shown = run::run(cell, limit, &runtime);
                        let mut results = results.lock().expect("nothing panics under the lock");
                        let judged = table::judge(cell, &shown, texts);
                        results.push(judged);
                        let judged = results.last().map_or("", |judged| &judged.text);
                        println!("{:3}/{} {judged}", results.len(), cells.len());
                    }
                });
            }
        });
        results.into_inner().expect("nothing panics under the lock")
    });
    let judged = judged.await.expect("no cell panics");
    println!("{}", table::summary(&judged));
    let failed = judged.iter().filter(|judged| judged.verdict == Verdict::Failed).count();
    println!("{} cells, {failed} failed", judged.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
