//! Judges what the cells have shown, and prints it: a row a cell, then a table of the slowest ends.

use std::fmt::Write;
use std::time::Duration;

use crate::link::Wire;
use crate::matrix::{Cell, FAULTS, Fault};
use crate::run::{End, Shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Held,
    Failed,
    /// It cannot be run on this machine.
    Skipped,
}

/// A cell with its verdict.
#[derive(Debug)]
pub(crate) struct Judged {
    fault: Fault,
    wire: Wire,
    pub(crate) verdict: Verdict,
    /// When the last of its ends came.
    slowest: Duration,
    /// Its row, and what was wrong.
    pub(crate) text: String,
}

/// `texts` adds the text of each end.
pub(crate) fn judge(cell: &Cell, shown: &Result<Shown, String>, texts: bool) -> Judged {
    let name = cell.name();
    let judged = |verdict, slowest, text| Judged {
        fault: cell.fault,
        wire: cell.wire,
        verdict,
        slowest,
        text: format!("{name:36} {text}"),
    };
    let ends = match shown {
        Ok(Shown::Ends(ends)) => ends,
        Ok(Shown::Skipped(why)) => {
            return judged(Verdict::Skipped, Duration::ZERO, format!("skipped: {why}"));
        }
        Err(error) => return judged(Verdict::Failed, Duration::ZERO, format!("FAIL: {error}")),
    };
    let wrong: Vec<&End> = ends.iter().filter(|end| !is_expected(cell, end)).collect();
    let verdict = if wrong.is_empty() { Verdict::Held } else { Verdict::Failed };
    let row: Vec<String> = ends.iter().map(brief).collect();
    let mut text = format!("{}  {}", if wrong.is_empty() { "ok  " } else { "FAIL" }, row.join("  "));
    // A `String` takes any text.
    for End { service, line, .. } in ends.iter().filter(|_| texts) {
        let end = line.as_ref().map_or("no end", |line| line["text"].as_str().unwrap_or_default());
        let _ = write!(text, "\n    {service}: {end}");
    }
    for End { service, line, .. } in &wrong {
        let _ = write!(text, "\n    {service}: wanted {:?}", cell.expected(service));
        let _ =
            write!(text, "\n    {service}: {}", line.as_ref().map_or("no end".into(), ToString::to_string));
    }
    judged(verdict, ends.iter().map(|end| end.after).max().unwrap_or_default(), text)
}

fn is_expected(cell: &Cell, end: &End) -> bool {
    let Some(line) = &end.line else { return false };
    let text = line["text"].as_str().unwrap_or_default();
    let expected = cell.expected(end.service);
    expected.iter().any(|(code, part)| code.is_none_or(|code| line["code"] == code) && text.contains(part))
}

/// Service, code, and milliseconds after the fault.
fn brief(End { service, line, after }: &End) -> String {
    let code = line.as_ref().map_or("none".to_owned(), |line| line["code"].to_string());
    format!("{service} {code} {} ms", after.as_millis())
}

/// One line a fault and transport: how many cells have held, and the slowest end.
pub(crate) fn summary(judged: &[Judged]) -> String {
    let mut table = format!(
        "\n{:12} {:10} {:>4} {:>6} {:>7} {:>12}  what takes time\n",
        "fault", "transport", "held", "failed", "skipped", "slowest end"
    );
    for fault in FAULTS {
        for wire in Wire::ALL {
            let of: Vec<_> =
                judged.iter().filter(|judged| judged.fault == fault && judged.wire == wire).collect();
            if of.is_empty() {
                continue;
            }
            let count = |verdict| of.iter().filter(|judged| judged.verdict == verdict).count();
            let slowest = of.iter().map(|judged| judged.slowest.as_millis()).max().unwrap_or_default();
            // A `String` takes any text.
            let _ = writeln!(
                table,
                "{:12} {:10} {:>4} {:>6} {:>7} {slowest:>9} ms  {}",
                format!("{fault:?}"),
                wire.name(),
                count(Verdict::Held),
                count(Verdict::Failed),
                count(Verdict::Skipped),
                fault.takes(),
            );
        }
    }
    table
}
