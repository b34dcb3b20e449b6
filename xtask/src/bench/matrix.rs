//! Throughput and latency: every pair at every work, round after round, so that other load
//! of the machine affects all pairs alike. Owns what is run and how results are computed.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::peers::{Pair, Place, Programs};
use super::scale::Scale;
use super::works::*;
use crate::Result;
use crate::process::Lines;

/// One run.
#[derive(Clone, Copy, Debug)]
struct Sample {
    ops: f64,
    p50: f64,
    p99: f64,
}

/// What the rounds came to: medians.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// Operations a second.
    pub(super) ops: f64,
    /// Microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// From the slowest round to the fastest, as a part of the median.
    pub(super) spread: f64,
}

#[derive(Debug, Default)]
pub(super) struct Matrix {
    runs: Vec<(Work, Pair, Sample)>,
    /// What went wrong, in words.
    pub(super) failures: Vec<String>,
}

/// Runs everything. Each round begins with another pair: the first one after another workload may find
/// the machine in another state.
pub(super) fn run(programs: &Programs, scale: &Scale) -> Matrix {
    let mut matrix = Matrix::default();
    for round in 1..=scale.rounds {
        let mut pairs = PAIRS;
        pairs.rotate_left((round - 1) * PAIRS.len() / scale.rounds);
        for work in WORKS.into_iter().filter(|work| scale.has(*work)) {
            for pair in pairs.into_iter().filter(|pair| work.suits(*pair) && scale.has_pair(*pair, work)) {
                matrix.attempt(programs, scale, (round, work, pair));
            }
        }
    }
    matrix
}

impl Matrix {
    /// One run; one that fails gets a second chance.
    fn attempt(&mut self, programs: &Programs, scale: &Scale, (round, work, pair): (usize, Work, Pair)) {
        let title = format!("round {round} of {}: {}, {}", scale.rounds, work.name(), pair.name());
        let sample = sample(programs, work, pair, scale.seconds)
            .or_else(|_| sample(programs, work, pair, scale.seconds));
        match sample {
            Ok(sample) => {
                println!("{title}: {:.0}/s, p50 {:.0} us, p99 {:.0} us", sample.ops, sample.p50, sample.p99);
                self.runs.push((work, pair, sample));
            }
            Err(error) => {
                println!("{title}: {error}");
                self.failures.push(format!("{title}: {error}"));
            }
        }
    }

    pub(super) fn figure(&self, work: Work, pair: Pair) -> Option<Figure> {
        let runs = self.runs.iter().filter(|run| (run.0, run.1) == (work, pair));
        let samples: Vec<Sample> = runs.map(|run| run.2).collect();
        let all = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<f64>>();
        let ops = all(|sample| sample.ops);
        let (slowest, fastest) =
            (ops.iter().copied().reduce(f64::min)?, ops.iter().copied().reduce(f64::max)?);
        let spread = (fastest - slowest) / median(&ops)?.max(1.0);
        let (p50, p99) = (median(&all(|sample| sample.p50))?, median(&all(|sample| sample.p99))?);
        Some(Figure { ops: median(&ops)?, p50, p99, spread })
    }

    /// How many times as much the one does as the other.
    pub(super) fn ratio(&self, work: Work, one: Pair, other: Pair) -> Option<f64> {
        let (one, other) = (self.figure(work, one)?.ops, self.figure(work, other)?.ops);
        (other > 0.0).then(|| one / other)
    }
}

fn sample(programs: &Programs, work: Work, pair: Pair, seconds: u64) -> Result<Sample> {
    let place = if work.one_core { Place::OneCore } else { Place::AllCores };
    let server = programs.server_on(place, pair.server, Lines::Discard)?;
    let mut client = programs.client_on(place, pair.client, server.addr, &work.words(pair, seconds))?;
    let until = Instant::now() + Duration::from_secs(seconds + 20);
    let line = client.event("bench", until)?.ok_or("the client has ended without a figure")?;
    client.wait(until)?;
    parse(&line).ok_or_else(|| format!("the client's line has an unknown form: {line}").into())
}

fn parse(line: &Value) -> Option<Sample> {
    let number = |name: &str| line[name].as_f64();
    let sample = Sample { ops: number("ops_s")?, p50: number("p50us")?, p99: number("p99us")? };
    (sample.ops > 0.0).then_some(sample)
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}
