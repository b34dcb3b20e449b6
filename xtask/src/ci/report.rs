//! The report of a run of checks: a row for each step, and the number of tests of all steps.

use std::fmt;
use std::time::Duration;

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything passed, except what `without` says could not be checked here.
    Passed {
        without: Option<String>,
    },
    Skipped(String),
    Failed(String),
    NotReached,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { without: None } => f.write_str("ok"),
            Self::Passed { without: Some(what) } => write!(f, "ok, without {what}"),
            Self::Skipped(reason) => write!(f, "skipped because {reason}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::NotReached => f.write_str("not reached"),
        }
    }
}

/// Tests that ran, as the closing lines of libtest count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// Adds what a line says, if it is a closing line: `test result: ok. 3 passed; 0 failed; …`.
    pub(super) fn see(&mut self, line: &str) {
        if let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
        }
    }

    pub(super) fn total(self) -> u64 {
        self.passed + self.failed
    }
}

fn count(counts: &str, what: &str) -> u64 {
    let mut parts = counts.split(';').filter_map(|part| part.trim().split_once(' '));
    parts.find(|(_, word)| *word == what).and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

/// The table at the end of a run.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<(&'static str, Duration, Verdict)>,
    pub(super) tests: Tally,
}

impl Report {
    pub(super) fn add(&mut self, step: &'static str, took: Duration, verdict: Verdict) {
        self.rows.push((step, took, verdict));
    }

    pub(super) fn failed(&self) -> bool {
        self.rows.iter().any(|(_, _, verdict)| matches!(verdict, Verdict::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:9} {:>9}  result", "step", "seconds")?;
        for (step, took, verdict) in &self.rows {
            writeln!(f, "{step:9} {:>9.1}  {verdict}", took.as_secs_f64())?;
        }
        write!(f, "\n{} passed, {} failed", self.tests.passed, self.tests.failed)
    }
}
