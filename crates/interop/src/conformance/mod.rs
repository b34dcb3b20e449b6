//! Frame scripts for any server or client of TTHeader Streaming that offers the service of `lab.thrift`.
//!
//! A script is data: what is sent, and what must come back. It is judged by what arrives at a socket alone.

mod client;
mod client_rows;
mod differences;
mod forms;
mod pattern;
mod play;
pub mod report;
mod server;
mod server_rows;
mod step;
pub(crate) mod wire;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use self::report::{Outcome, Row};
use self::server::Script;

/// Scripts that run at the same time.
const AT_ONCE: usize = 16;

/// Runs all scripts whose names have `only` against the servers at `addresses`. `patience` bounds each wait: a server that
/// sends what it must never needs it.
pub fn servers(addresses: &[String], only: &str, patience: Duration) -> Vec<Row> {
    let scripts = server_rows::all();
    let mut rows = run(&scripts, only, |script| Row {
        name: script.name.clone(),
        want: script.want.clone(),
        outcomes: addresses.iter().map(|address| script.run(address, patience)).collect(),
    });
    let pieces = server_rows::every_boundary();
    if let Some(first) = pieces.first().filter(|first| first.name.contains(only)) {
        let outcomes = addresses.iter().map(|address| all_pass(&pieces, address, patience)).collect();
        rows.push(Row { name: first.name.clone(), want: first.want.clone(), outcomes });
    }
    rows
}

/// Runs all scripts whose names have `only` with the clients that `commands` start.
pub fn clients(commands: &[String], only: &str, patience: Duration) -> Vec<Row> {
    run(&client_rows::all(), only, |script| Row {
        name: script.name.clone(),
        want: script.want(),
        outcomes: commands.iter().map(|command| script.run(command, patience)).collect(),
    })
}

/// One outcome of many scripts: the first that fails.
fn all_pass(scripts: &[Script], address: &str, patience: Duration) -> Outcome {
    let outcomes = run(scripts, "", |script| script.run(address, patience));
    let count = outcomes.len();
    let failed = outcomes.into_iter().enumerate().find(|(_, outcome)| !outcome.passed);
    failed.map_or(Outcome { passed: true, seen: format!("{count} connections") }, |(at, outcome)| Outcome {
        passed: false,
        seen: format!("at {at}: {}", outcome.seen),
    })
}

trait Named {
    fn name(&self) -> &str;
}

impl Named for Script {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for client::Script {
    fn name(&self) -> &str {
        &self.name
    }
}

fn run<S: Named + Sync, R: Send>(scripts: &[S], only: &str, play: impl Fn(&S) -> R + Sync) -> Vec<R> {
    let scripts: Vec<&S> = scripts.iter().filter(|script| script.name().contains(only)).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((at, script)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, scripts.get(at)?)))
                {
                    let result = play(script);
                    results.lock().expect("no script panics under the lock").push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no script panics under the lock");
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
