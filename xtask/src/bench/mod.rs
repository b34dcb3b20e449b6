//! `cargo xtask bench`: builds and runs ours, Kitex, tonic and a bare loop side by side, and writes
//! `docs/performance.md` and its chart. Owns the order of a run; each measurement has its own file.
//!
//! `--instructions` is the guard of `cargo xtask ci`: see [`instructions`].

mod cancel;
mod chart;
mod codec;
mod document;
mod findings;
mod growth;
mod hops;
pub(crate) mod instructions;
mod judge;
mod matrix;
mod memory;
mod peers;
mod scale;
mod works;
mod writes;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use self::findings::{Findings, Run};
use self::peers::{Pair, Programs};
use self::scale::Scale;
use self::works::ECHO_100;
use crate::Result;
use crate::machine;
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

/// Measures, and writes the document.
pub(crate) fn run(options: &Options) -> Result {
    if options.instructions {
        return instructions::run(options.update);
    }
    let workspace = Workspace::load()?;
    env::set_current_dir(&workspace.root)?;
    let programs = Programs::build(&workspace)?;
    let scale = Scale::new(options.quick, options.rounds, options.seconds);
    let started = Instant::now();
    let findings = measure(&programs, &scale);
    let run = Run {
        machine: machine::describe(&workspace)?,
        started_with: programs.lines(|peer| ECHO_100.words(Pair::of(peer), scale.seconds)),
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
        memory: with_text(memory::run(programs)),
        writes: with_text(writes::run(programs, scale)),
        cancels: with_text(cancel::run(programs, scale)),
        hops: with_text(hops::run(programs, scale)),
        growth: with_text(growth::run(programs, scale)),
        codec: with_text(codec::run(programs, scale)),
    }
}

/// The failure of one measurement is written into the document, and the others go on.
fn with_text<T>(measured: Result<T>) -> Result<T, String> {
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
