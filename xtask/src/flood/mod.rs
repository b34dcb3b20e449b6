//! `cargo xtask flood`: runs every attack of `interop::flood` against our server and against the same program on real Kitex,
//! and measures what it costs each of them and another client. Owns the command line and the order of a run.

mod page;
mod run;

use std::fs;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use clap::Args;

use self::run::{Attack, Figures, Programs, Row, SERVERS, Target};
use crate::Result;
use crate::machine;
use crate::workspace::Workspace;

/// Arguments of `cargo xtask flood`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs only the attacks whose names have this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Seconds of each attack, in place of its own.
    #[arg(long)]
    seconds: Option<u64>,
    /// Runs programs that are not optimized: to try an attack, not to measure.
    #[arg(long)]
    debug: bool,
    /// Writes the tables to this file; without it they are only printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result {
    let workspace = Workspace::load()?;
    let programs = Programs::build(&workspace, options.debug)?;
    let only = options.only.as_deref().unwrap_or_default();
    let attacks: Vec<Attack> =
        programs.attacks()?.into_iter().filter(|attack| attack.name.contains(only)).collect();
    let mut machine = machine::describe(&workspace)?;
    // Other programs take part in the latencies.
    machine.facts.push((page::LOAD, machine::load()));
    let out = |rows: &[Row]| match &options.out {
        Some(out) => {
            fs::write(workspace.root.join(out), page::page(&machine, rows, attacks.len(), options.debug))
        }
        None => Ok(()),
    };
    let mut rows = Vec::new();
    let mut settling = None;
    for attack in &attacks {
        for server in SERVERS {
            let next = run::measure(&programs, attack, server, options.seconds)?;
            // A server that is left alone uses no core: the next attack does not wait for it.
            let next = (attack, server, thread::spawn(move || next.settle()));
            if let Some(last) = settling.replace(next) {
                add(&mut rows, last)?;
            }
        }
        // Each time, so that a run that is ended leaves what it has measured.
        out(&rows)?;
    }
    if let Some(last) = settling {
        add(&mut rows, last)?;
    }
    for attack in page::missed(&rows) {
        let limited = run::measure(&programs, &attack, Target::Limited, options.seconds)?;
        add(&mut rows, (&attack, Target::Limited, thread::spawn(move || limited.settle())))?;
    }
    println!("\n{}", page::summary(&rows));
    out(&rows)?;
    Ok(())
}

/// Adds the figures of an attack once they are complete.
fn add(rows: &mut Vec<Row>, (attack, server, settled): (&Attack, Target, JoinHandle<Figures>)) -> Result {
    let figures = settled.join().map_err(|_| "the figures of a server are lost")?;
    println!("{} {}", attack.name, page::line(server, &figures));
    rows.push(Row { attack: attack.clone(), server, figures });
    Ok(())
}
