//! The guard against slow growth: instructions that fixed pieces of work take, counted by callgrind and
//! compared with a table that is checked in. Owns the table and what may differ from it.
//!
//! More instructions than the table says are red. If they are worth it, the table is written anew
//! (`cargo xtask bench --instructions --update`) and the commit that does so says why, in a line that
//! begins with `instructions:`; a commit that raises a count without a reason is red too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::command::Cmd;
use crate::workspace::Workspace;

/// Instructions of each case, each time its work is done.
pub(super) type Counts = BTreeMap<String, u64>;

const TABLE: &str = "crates/bench/instructions.json";
const PROGRAM: &str = "release/bench-instructions";
/// Of a count, what it may be more than the table says.
const TOLERANCE: f64 = 0.02;
/// How the line of a commit begins that says why a count was raised.
const REASON: &str = "instructions:";
/// The plainest of what the C library may choose by the processor, so that machines count alike.
const PLAIN: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX2_Usable,-ERMS,-FSRM";

/// Why instructions cannot be counted or compared here; nothing if they can.
pub(crate) fn obstacle() -> Result<Option<String>> {
    if Cmd::new("valgrind --version").probe().is_none() {
        return Ok(Some("there is no valgrind".to_owned()));
    }
    let table = table()?;
    let (known, here) = (table["compiler"].as_str().unwrap_or_default(), compiler());
    let differs = format!("the table was counted with {known}, and this is {here}: {}", update());
    Ok((known != here).then_some(differs))
}

/// Counts, and compares or writes the table.
pub(super) fn run(update_table: bool) -> Result {
    let workspace = Workspace::load()?;
    std::env::set_current_dir(&workspace.root)?;
    let counts = count(&workspace)?;
    if update_table {
        return write(&counts);
    }
    if let Some(obstacle) = obstacle()? {
        println!("{obstacle}");
        return Err("the counts cannot be compared".into());
    }
    let grown = compare(&counts, &counts_of(&table()?));
    let unexplained = unexplained();
    if !grown.is_empty() {
        return Err(format!(
            "more than {:.0} % above the table: {}: {}",
            100.0 * TOLERANCE,
            grown.join(", "),
            update()
        )
        .into());
    }
    if !unexplained.is_empty() {
        let cases = unexplained.join(", ");
        return Err(format!("{TABLE} was raised without a line `{REASON} why` in the commit: {cases}").into());
    }
    Ok(())
}

fn update() -> String {
    format!(
        "`cargo xtask bench --instructions --update` writes the table, and the commit says why in a line `{REASON} why`"
    )
}

/// Prints every count beside the table's; gives the cases that have grown.
fn compare(counts: &Counts, table: &Counts) -> Vec<String> {
    let mut grown = Vec::new();
    for (case, &count) in counts {
        let Some(&known) = table.get(case) else {
            println!("{case:32} {count:>9}  new");
            grown.push(format!("{case} (not in the table)"));
            continue;
        };
        let change = change(known, count);
        println!("{case:32} {count:>9} {:>+7.2} %", 100.0 * change);
        if change > TOLERANCE {
            grown.push(format!("{case} {:+.1} %", 100.0 * change));
        }
    }
    grown
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below what a float holds exactly")]
fn change(known: u64, count: u64) -> f64 {
    count as f64 / known.max(1) as f64 - 1.0
}

/// Cases that the last commit of the table has raised without a reason. What git does not know (no history,
/// a shallow clone) explains itself.
fn unexplained() -> Vec<String> {
    let show = |what: &str| Cmd::new("git show").arg(what).probe();
    let Some(commit) = Cmd::new("git log -1 --format=%H --").arg(TABLE).probe() else { return Vec::new() };
    let commit = commit.trim();
    let message = Cmd::new("git log -1 --format=%B").arg(commit).probe().unwrap_or_default();
    let (after, before) = (show(&format!("{commit}:{TABLE}")), show(&format!("{commit}^:{TABLE}")));
    let (Some(after), Some(before)) = (after, before) else { return Vec::new() };
    let counts = |text: &str| serde_json::from_str(text).map(|table| counts_of(&table)).unwrap_or_default();
    raised(&counts(&before), &counts(&after), &message)
}

/// Cases of `after` that are above `before`, if the commit's message gives no reason.
pub(super) fn raised(before: &Counts, after: &Counts, message: &str) -> Vec<String> {
    if message.lines().any(|line| line.starts_with(REASON)) {
        return Vec::new();
    }
    let grown = after
        .iter()
        .filter(|(case, count)| before.get(*case).is_some_and(|known| change(*known, **count) > TOLERANCE));
    grown.map(|(case, _)| case.clone()).collect()
}

fn table() -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(TABLE)?)?)
}

fn counts_of(table: &Value) -> Counts {
    let cases = table["instructions"].as_object().into_iter().flatten();
    cases.filter_map(|(case, count)| Some((case.clone(), count.as_u64()?))).collect()
}

fn write(counts: &Counts) -> Result {
    let table = json!({"compiler": compiler(), "instructions": counts});
    fs::write(TABLE, format!("{table:#}\n"))?;
    println!("{TABLE} is written: commit it with a line `{REASON} why` if a count was raised");
    Ok(())
}

/// Another compiler writes other instructions, and so does another kind of processor.
fn compiler() -> String {
    let version = Cmd::new("rustc --version --verbose").probe().unwrap_or_default();
    let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
    format!("rustc {} for {}", field("release: "), field("host: "))
}

fn count(workspace: &Workspace) -> Result<Counts> {
    let build = Cmd::new("cargo build --release --package bench --bin bench-instructions");
    build.start()?;
    let program = workspace.target.join(PROGRAM);
    let cases = Cmd::default().path(&program).read()?;
    cases.lines().filter_map(|line| line.split_once('\t')).map(|case| count_case(&program, case)).collect()
}

fn count_case(program: &Path, (times, case): (&str, &str)) -> Result<(String, u64)> {
    let out: PathBuf = program.with_extension("callgrind");
    let count = Cmd::new("valgrind --quiet --tool=callgrind --collect-atstart=no")
        .arg("--toggle-collect=bench_instructions::measured*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .path(program)
        .arg(case)
        .env("GLIBC_TUNABLES", PLAIN);
    count.read()?;
    let out = fs::read_to_string(out)?;
    let summary =
        out.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    let total: u64 = summary.ok_or("callgrind gives no sum")?.trim().parse()?;
    let times: u64 = times.parse()?;
    if total == 0 {
        return Err(format!("callgrind counted nothing of {case}: is `measured` still called so?").into());
    }
    Ok((case.to_owned(), total / times))
}
