//! `cargo xtask bench`: builds and runs ours, Kitex, tonic and a bare loop side by side, and writes
//! `docs/performance.md` and its chart. Owns the order of a run; each measurement has its own file.
//!
//! `--instructions` is the guard of `cargo xtask ci`: see [`instructions`].

mod cancel;
mod chart;
mod codec;
mod document;
mod growth;
pub(crate) mod instructions;
mod judge;
mod machine;
mod matrix;
mod memory;
mod peers;
mod process;
mod writes;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use self::cancel::Cancels;
use self::codec::Codec;
use self::growth::Growth;
use self::machine::Machine;
use self::matrix::{
    BARE_CURRENT, ECHO_100, FROM_KITEX, Matrix, OURS_BUSY, OURS_CORES, TO_KITEX, UNARY_100, Work,
};
use self::memory::Memory;
use self::peers::{Pair, Programs};
use self::writes::Writes;
use crate::Result;
use crate::workspace::Workspace;

/// Words of `cargo xtask bench`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// One short round of the most important runs, in a minute; writes to the target folder.
    #[arg(long)]
    quick: bool,
    /// Rounds; of each figure the median is given. Default 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each run. Default 4.
    #[arg(long)]
    seconds: Option<u64>,
    /// Folder for `performance.md` and `performance.svg`. Default `docs`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Counts instructions and compares them with the table that is checked in; measures nothing else.
    #[arg(long)]
    instructions: bool,
    /// Writes that table anew.
    #[arg(long, requires = "instructions")]
    update: bool,
}

/// How much is run.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    quick: bool,
    rounds: usize,
    /// Of each run.
    seconds: u64,
    /// Of each run that counts rather than times.
    count_seconds: u64,
    /// Streams whose cancel is timed, each round.
    cancels: usize,
}

/// All that was measured; what could not be says why.
#[derive(Debug)]
struct Findings {
    matrix: Matrix,
    memory: Result<Vec<Memory>, String>,
    writes: Result<Writes, String>,
    cancels: Result<Vec<Cancels>, String>,
    growth: Result<Growth, String>,
    codec: Result<Codec, String>,
}

/// What a document tells.
#[derive(Debug)]
struct Run {
    scale: Scale,
    machine: Machine,
    findings: Findings,
    built_by: Vec<String>,
    /// Command lines of a server and a client of each peer.
    started_with: Vec<String>,
    took: Duration,
}

/// Measures, and writes the document.
pub(crate) fn run(options: &Options) -> Result {
    if options.instructions {
        return instructions::run(options.update);
    }
    let workspace = Workspace::load()?;
    env::set_current_dir(&workspace.root)?;
    let programs = Programs::build(&workspace)?;
    let scale = Scale::new(options);
    let started = Instant::now();
    let findings = measure(&programs, &scale);
    let run = Run {
        machine: machine::describe(&workspace)?,
        started_with: programs.lines(scale.seconds),
        built_by: programs.built_by.clone(),
        took: started.elapsed(),
        scale,
        findings,
    };
    let out = match &options.out {
        Some(out) => out.clone(),
        None if options.quick => programs.folder(),
        None => PathBuf::from("docs"),
    };
    write(&run, &out)
}

fn measure(programs: &Programs, scale: &Scale) -> Findings {
    Findings {
        matrix: matrix::run(programs, scale),
        memory: told(memory::run(programs)),
        writes: told(writes::run(programs, scale)),
        cancels: told(cancel::run(programs, scale)),
        growth: told(growth::run(programs, scale)),
        codec: told(codec::run(programs, scale)),
    }
}

/// What goes wrong with one measurement stands in the document and costs no other.
fn told<T>(measured: Result<T>) -> Result<T, String> {
    measured.map_err(|error| {
        println!("not measured: {error}");
        error.to_string()
    })
}

fn write(run: &Run, out: &std::path::Path) -> Result {
    let rows = judge::judge(&run.findings);
    fs::create_dir_all(out)?;
    fs::write(out.join("performance.md"), document::document(run, &rows))?;
    fs::write(out.join("performance.svg"), chart::chart(&run.findings))?;
    println!("\n{}", document::targets(&rows));
    let met = rows.iter().filter(|row| row.met).count();
    println!("{met} of {} targets met; {} is written", rows.len(), out.join("performance.md").display());
    Ok(())
}

impl Scale {
    fn new(options: &Options) -> Self {
        let quick = options.quick;
        Self {
            quick,
            rounds: options.rounds.unwrap_or(if quick { 1 } else { 3 }).max(1),
            seconds: options.seconds.unwrap_or(if quick { 1 } else { 4 }).max(1),
            count_seconds: if quick { 1 } else { 2 },
            cancels: if quick { 30 } else { 100 },
        }
    }

    fn has(&self, work: Work) -> bool {
        !(self.quick && (work == UNARY_100 || work.one_core))
    }

    /// Whether a pair is measured at a work: in a hurry those beside the main ones only once.
    fn has_pair(&self, pair: Pair, work: Work) -> bool {
        !self.quick
            || work == ECHO_100
            || ![BARE_CURRENT, OURS_CORES, OURS_BUSY, TO_KITEX, FROM_KITEX].contains(&pair)
    }

    /// In a hurry every second of `counts`, the first and the last among them.
    fn thin(&self, counts: &[usize]) -> Vec<usize> {
        let last = counts.len().saturating_sub(1);
        let kept = |at: &usize| !self.quick || at.is_multiple_of(2) || *at == last;
        (0..counts.len()).filter(kept).map(|at| counts[at]).collect()
    }
}
