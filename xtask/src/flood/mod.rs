//! `cargo xtask flood`: runs every attack of `interop::flood` against our server and against the same program on real Kitex,
//! and measures what it costs each of them and another client. Owns the command line and the order of a run.

mod page;
mod run;

use std::fs;
use std::path::PathBuf;

use clap::Args;

use self::run::{Attack, Programs, Row, SERVERS};
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
    let mut rows = Vec::new();
    for (at, attack) in attacks.iter().enumerate() {
        for server in SERVERS {
            let figures = run::measure(&programs, attack, server, options.seconds)?;
            println!("{}/{} {} {}", at + 1, attacks.len(), attack.name, page::line(server, &figures));
            rows.push(Row { attack: attack.clone(), server, figures });
        }
        // Each time, so that a run that is ended leaves what it has measured.
        if let Some(out) = &options.out {
            fs::write(workspace.root.join(out), page::page(&machine, &rows, options.debug))?;
        }
    }
    println!("\n{}", page::summary(&rows));
    Ok(())
}
