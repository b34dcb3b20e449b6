//! `cargo xtask ci`: every check of this project, in one order, for people and for `.ci/run` alike.
//! Owns the run of checks; the checks themselves are in [`steps`].

mod report;
mod steps;
#[cfg(test)]
mod tests;

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::PossibleValuesParser;

use self::report::{Report, Tally, Verdict};
use self::steps::{Plan, STEPS, Setting, Step};
use crate::Result;
use crate::workspace::Workspace;

pub(crate) use self::steps::{EXAMPLES, TESTED_EXAMPLES};

/// Arguments of `cargo xtask ci`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Runs only this step; may be given more than once.
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    only: Vec<String>,
    /// Leaves this step out; may be given more than once.
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    skip: Vec<String>,
    /// Seconds that each fuzz target runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    fuzz_seconds: u32,
    /// Lists the steps without running them.
    #[arg(long)]
    list: bool,
}

/// Runs the selected steps, up to the first that fails. The last line that it prints is
/// `N passed, N failed`: the tests of all steps.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        STEPS.iter().for_each(|step| println!("{:9} {}", step.name, step.what));
        return Ok(ExitCode::SUCCESS);
    }
    let setting = Setting { workspace: Workspace::load()?, fuzz_seconds: options.fuzz_seconds };
    env::set_current_dir(&setting.workspace.root)?;
    let report = run_steps(options, &setting);
    println!("{report}");
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_steps(options: &Options, setting: &Setting) -> Report {
    let mut report = Report::default();
    for step in STEPS.iter().filter(|step| options.names(step)) {
        let started = Instant::now();
        let verdict = if report.failed() {
            Verdict::NotReached
        } else if options.skip.iter().any(|name| name == step.name) {
            Verdict::Skipped("--skip says so".to_owned())
        } else {
            attempt(step, &mut report.tests, setting)
        };
        report.add(step.name, started.elapsed(), verdict);
    }
    report
}

fn attempt(step: &Step, tests: &mut Tally, setting: &Setting) -> Verdict {
    println!("\n== {}: {}", step.name, step.what);
    let verdict = run_step(step, tests, setting).unwrap_or_else(|error| Verdict::Failed(error.to_string()));
    println!("== {}: {verdict}", step.name);
    verdict
}

fn run_step(step: &Step, tests: &mut Tally, setting: &Setting) -> Result<Verdict> {
    let before = tests.total();
    let (commands, without) = match (step.plan)(setting)? {
        Plan::Skip(reason) => return Ok(Verdict::Skipped(reason)),
        Plan::Run { commands, without } => (commands, without),
    };
    for command in commands {
        println!("   $ {command}");
        command.within(LIMIT).run_seen(|line| tests.see(line))?;
    }
    if step.tests && tests.total() == before {
        return Ok(Verdict::Failed("no test ran: its filter or its folder has moved".to_owned()));
    }
    Ok(Verdict::Passed { without })
}

impl Options {
    fn names(&self, step: &Step) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == step.name)
    }
}

/// The time that one command of a step may take. The longest takes a third of it; one that takes more hangs, and a run that
/// hangs shows neither the report nor the steps after it.
const LIMIT: Duration = Duration::from_secs(30 * 60);

fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STEPS.iter().map(|step| step.name))
}
