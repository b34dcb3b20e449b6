//! Operations and their latencies, and the line that reports them: the same for all compared peers.

use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use crate::line::print;

/// The operations of one task.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Vec<f64>>);

impl Tally {
    /// Records one completed operation.
    pub fn add(&self, since: Instant) {
        let micros = since.elapsed().as_secs_f64() * 1e6;
        self.lock().push(micros);
    }

    /// Removes and returns the latencies so far, in microseconds.
    pub fn take(&self) -> Vec<f64> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<f64>> {
        self.0.lock().expect("no panic under the lock")
    }
}

/// The parameters of a bench.
#[derive(Clone, Copy, Debug)]
pub struct Ran<'a> {
    /// The operation of each task.
    pub what: &'a str,
    /// Number of tasks.
    pub tasks: usize,
    /// Size of the payload, in bytes.
    pub bytes: usize,
    /// Duration in seconds.
    pub seconds: u64,
}

/// Prints the line of a bench.
pub fn print_bench(ran: &Ran<'_>, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let ops = u64::try_from(times.len()).unwrap_or(u64::MAX) / ran.seconds.max(1);
    print(&json!({
        "ev": "bench", "what": ran.what, "c": ran.tasks, "b": ran.bytes, "ops_s": ops,
        "p50us": percentile(&times, 500), "p99us": percentile(&times, 990), "p999us": percentile(&times, 999),
    }));
}

fn percentile(sorted: &[f64], per_mille: usize) -> f64 {
    let at = sorted.len() * per_mille / 1000;
    sorted.get(at).map_or(0.0, |micros| (micros * 10.0).round() / 10.0)
}
