//! What an echo costs as streams and connections grow in number.

use std::time::{Duration, Instant};

use super::matrix::median;
use super::peers::{Peer, Programs};
use super::scale::Scale;
use crate::Result;
use crate::process::{Lines, Running};

/// One point of a curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Streams on the one connection, or connections.
    pub(super) count: usize,
    /// Processor time of both ends, in nanoseconds.
    pub(super) cost: f64,
    /// Echoes a second.
    pub(super) ops: f64,
}

#[derive(Debug)]
pub(super) struct Growth {
    pub(super) streams: Vec<Point>,
    pub(super) connections: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
enum Axis {
    Streams,
    Connections,
}

const STREAMS: [usize; 5] = [1, 10, 100, 1000, 10_000];
const CONNECTIONS: [usize; 4] = [1, 10, 100, 1000];

pub(super) fn run(programs: &Programs, scale: &Scale) -> Result<Growth> {
    let curve = |axis, counts: &[usize]| curve(programs, scale, axis, &scale.thin(counts));
    Ok(Growth {
        streams: curve(Axis::Streams, &STREAMS)?,
        connections: curve(Axis::Connections, &CONNECTIONS)?,
    })
}

/// How much the largest number costs beside the cheapest of all smaller ones.
pub(super) fn growth(curve: &[Point]) -> Option<f64> {
    let (last, before) = curve.split_last()?;
    before.iter().map(|point| point.cost).reduce(f64::min).map(|cheapest| last.cost / cheapest)
}

fn curve(programs: &Programs, scale: &Scale, axis: Axis, counts: &[usize]) -> Result<Vec<Point>> {
    let mut rounds = Vec::new();
    for _ in 0..scale.rounds {
        for &count in counts {
            let point = measure(programs, scale, axis, count)?;
            println!("growth: {axis:?} {count}: {:.0} ns of processor time an echo", point.cost);
            rounds.push(point);
        }
    }
    Ok(counts.iter().filter_map(|&count| middle(&rounds, count)).collect())
}

fn middle(rounds: &[Point], count: usize) -> Option<Point> {
    let rounds: Vec<&Point> = rounds.iter().filter(|point| point.count == count).collect();
    let all = |of: fn(&Point) -> f64| median(&rounds.iter().map(|point| of(point)).collect::<Vec<_>>());
    Some(Point { count, cost: all(|point| point.cost)?, ops: all(|point| point.ops)? })
}

fn measure(programs: &Programs, scale: &Scale, axis: Axis, count: usize) -> Result<Point> {
    let server = programs.server(Peer::Ours, Lines::Discard)?;
    let (addr, pid) = (server.addr.to_string(), server.pid().to_string());
    let (count_word, seconds) = (count.to_string(), scale.count_seconds.to_string());
    let axis = match axis {
        Axis::Streams => "--streams",
        Axis::Connections => "--connections",
    };
    let words = ["--addr", &addr, "--pid", &pid, axis, &count_word, "--t", &seconds];
    let client = Running::start(
        &programs.words("release/bench-growth", &words),
        Lines::Read,
        &programs.log(Peer::Ours),
    )?;
    let line = client.event("growth", Instant::now() + Duration::from_secs(60))?;
    let line = line.ok_or_else(|| format!("bench-growth {axis} {count} has ended without a figure"))?;
    let number = |name: &str| line[name].as_f64().filter(|number| *number > 0.0);
    let (cost, ops) =
        number("cpu_ns").zip(number("ops_s")).ok_or("bench-growth's line has an unknown form")?;
    Ok(Point { count, cost, ops })
}
