//! `cargo xtask fuzz`: runs the fuzz targets for a chosen time, and adds what they have executed to the ledger.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::Result;
use crate::command::Cmd;
use crate::number::thousands;
use crate::workspace::Workspace;

/// The folder of the targets.
pub(crate) const FOLDER: &str = "crates/fuzz";
/// Installs `cargo fuzz`.
const INSTALL: &str = "cargo install cargo-fuzz --locked --version 0.13.2";
/// Has a row for each target, with its executions so far.
const LEDGER: &str = "docs/fuzz.md";
/// What libFuzzer prints before the executions of a run.
const EXECUTED: &str = "stat::number_of_executed_units:";

/// Arguments of `cargo xtask fuzz`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Runs only the targets whose names have this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Adds the executions to docs/fuzz.md.
    #[arg(long)]
    record: bool,
    /// Without AddressSanitizer, which the code of this project needs little, as it has no `unsafe`: several times as fast.
    #[arg(long)]
    fast: bool,
}

/// Whether a build of the fuzz targets checks memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sanitizer {
    /// With AddressSanitizer.
    Address,
    None,
}

pub(crate) fn run(options: &Options) -> Result {
    let workspace = Workspace::load()?;
    std::env::set_current_dir(&workspace.root)?;
    if let Some(install) = install() {
        install.start()?;
    }
    let only = options.only.as_deref().unwrap_or_default();
    let sanitizer = if options.fast { Sanitizer::None } else { Sanitizer::Address };
    for target in targets()?.iter().filter(|target| target.contains(only)) {
        let mut executed = 0;
        let command = target_command(target, &workspace, options.seconds, sanitizer)?;
        println!("   $ {command}");
        // libFuzzer writes to the standard error.
        let ran = Cmd::new("sh -c").arg(format!("{command} 2>&1")).run_seen(|line| {
            let count = line.strip_prefix(EXECUTED).and_then(|count| count.trim().parse::<u64>().ok());
            executed += count.unwrap_or_default();
        });
        if options.record {
            let ledger = fs::read_to_string(LEDGER)?;
            fs::write(LEDGER, added(&ledger, target, executed)?)?;
        }
        ran?;
    }
    Ok(())
}

/// Returns the command that installs `cargo fuzz`, unless it is there.
pub(crate) fn install() -> Option<Cmd> {
    Cmd::new("cargo fuzz --version").probe().is_none().then(|| Cmd::new(INSTALL))
}

/// Returns the names of all targets.
pub(crate) fn targets() -> Result<Vec<String>> {
    let manifest = Path::new(FOLDER).join("Cargo.toml");
    let metadata =
        Cmd::new("cargo metadata --format-version 1 --no-deps --manifest-path").path(&manifest).read()?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let targets = metadata["packages"][0]["targets"].as_array().into_iter().flatten();
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    Ok(programs.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}

/// Returns the command that runs a target. New inputs go to a corpus in the target folder; the checked-in corpus is only read.
pub(crate) fn target_command(
    target: &str,
    workspace: &Workspace,
    seconds: u32,
    sanitizer: Sanitizer,
) -> Result<Cmd> {
    let found = workspace.target.join("fuzz-corpus").join(target);
    fs::create_dir_all(&found)?;
    let seeds: PathBuf = [FOLDER, "corpus", target].iter().collect();
    let fuzz = Cmd::new("cargo +nightly fuzz run --fuzz-dir").arg(FOLDER).arg("--target-dir");
    let fuzz = match sanitizer {
        Sanitizer::Address => fuzz.path(&workspace.target.join("fuzz")),
        Sanitizer::None => fuzz.path(&workspace.target.join("fuzz-fast")).args(&["--sanitizer", "none"]),
    };
    let fuzz = fuzz.arg(target).path(&found);
    let fuzz = if seeds.exists() { fuzz.path(&seeds) } else { fuzz };
    // Decoding measures its stack; this check of AddressSanitizer would place frames on the heap.
    let fuzz = fuzz.env("ASAN_OPTIONS", "detect_stack_use_after_return=0");
    let time = format!("-max_total_time={seconds}");
    Ok(fuzz.args(&["--", &time, "-verbosity=0", "-print_funcs=0", "-print_final_stats=1"]))
}

/// Returns the ledger with more executions of a target, and the sum of all.
fn added(ledger: &str, target: &str, executed: u64) -> Result<String> {
    let (mut found, mut sum) = (false, 0);
    let mut lines: Vec<String> = Vec::new();
    for line in ledger.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let row = match &cells[..] {
            ["", name, reads, count, ""] => number(count).map(|count| (*name, *reads, count)),
            _ => None,
        };
        let Some((name, reads, count)) = row else {
            lines.push(line.to_owned());
            continue;
        };
        if name == SUM {
            lines.push(format!("| {SUM} | {reads} | {} |", thousands(sum)));
            continue;
        }
        let is_target = name.trim_matches('`') == target;
        found |= is_target;
        let count = if is_target { count + executed } else { count };
        sum += count;
        lines.push(format!("| {name} | {reads} | {} |", thousands(count)));
    }
    if !found {
        return Err(format!("{LEDGER} has no row for {target}: add it, with 0 executions").into());
    }
    Ok(lines.join("\n") + "\n")
}

/// The name of the last row.
const SUM: &str = "all";

fn number(text: &str) -> Option<u64> {
    text.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn executions_are_added_to_the_row_of_their_target_and_to_the_sum() {
        let ledger = "# Title\n\n| target | reads | executions |\n|---|---|---|\n| `one` | a | 999 |\n| `two` | b | 5 |\n| all | | 0 |\n";
        let expected = ledger.replace("999", "1,000,999").replace("| all | | 0 |", "| all |  | 1,001,004 |");
        assert_eq!(added(ledger, "one", 1_000_000).ok(), Some(expected));
        assert!(added(ledger, "three", 1).is_err(), "a target without a row");
    }
}
