//! What a run of scripts has shown, and the table of it.

use std::fmt::Write;

use super::differences::{self, Seen};

/// What one script has shown of one peer.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What came back is what the protocol says.
    pub passed: bool,
    /// What came back.
    pub seen: String,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the script.
    pub name: String,
    /// What must come back.
    pub want: String,
    /// What each peer did, in the order of the table's columns.
    pub outcomes: Vec<Outcome>,
}

/// A column of the table.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What it is called.
    pub name: String,
    /// It is real Kitex, whose differences are listed.
    pub is_kitex: bool,
}

/// The table of a run, and what is wrong.
#[derive(Debug)]
pub struct Report {
    /// One line a script, then one a peer.
    pub table: String,
    /// Scripts that a peer fails, without a listed difference; listed differences that
    /// are seen in every run, and were not in this one.
    pub problems: Vec<String>,
}

impl Report {
    /// Compares what each peer did with what the protocol says.
    pub fn new(peers: &[Peer], rows: &[Row]) -> Self {
        let mut report = Self { table: String::new(), problems: Vec::new() };
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
        report.line(&format!("{:width$}  {}", "script", names.join("  ")));
        for row in rows {
            let cells = row.outcomes.iter().zip(peers).map(|(outcome, peer)| cell(row, outcome, peer));
            report.line(&format!("{:width$}  {}", row.name, cells.collect::<Vec<_>>().join("  ")));
            report.judge(peers, row);
        }
        for (at, peer) in peers.iter().enumerate() {
            let passed =
                rows.iter().filter(|row| row.outcomes.get(at).is_some_and(|outcome| outcome.passed)).count();
            report.line(&format!("{}: {passed} of {} scripts as the protocol says", peer.name, rows.len()));
            if peer.is_kitex {
                report.problems.extend(outdated(rows, at));
            }
        }
        report
    }

    fn line(&mut self, text: &str) {
        // A `String` takes any text.
        let _ = writeln!(self.table, "{}", text.trim_end());
    }

    fn judge(&mut self, peers: &[Peer], row: &Row) {
        let failed = row.outcomes.iter().zip(peers).filter(|(outcome, _)| !outcome.passed);
        for (outcome, peer) in
            failed.filter(|(_, peer)| !peer.is_kitex || differences::of(&row.name).is_none())
        {
            let (name, want, seen) = (&row.name, &row.want, &outcome.seen);
            self.problems.push(format!("{}: {name}\n  wanted: {want}\n  seen:   {seen}", peer.name));
        }
    }
}

fn cell(row: &Row, outcome: &Outcome, peer: &Peer) -> String {
    let width = peer.name.len().max(4);
    match differences::of(&row.name).filter(|_| peer.is_kitex && !outcome.passed) {
        Some(difference) => difference.why.to_owned(),
        None if outcome.passed => format!("{:width$}", "ok"),
        None => format!("{:width$}", "FAIL"),
    }
}

/// Scripts of a difference that Kitex, in this column, must always show, and passes.
fn outdated(rows: &[Row], column: usize) -> impl Iterator<Item = String> {
    let passed =
        rows.iter().filter(move |row| row.outcomes.get(column).is_some_and(|outcome| outcome.passed));
    let listed = passed
        .filter(|row| differences::of(&row.name).is_some_and(|difference| difference.seen == Seen::Always));
    listed.map(|row| format!("Kitex: {}: the listed difference was not seen", row.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_has_a_problem_where_ours_fails_or_kitex_is_not_as_listed() {
        let (always, timing) = ("client: Up, error", "order: data after the trailer");
        for (name, ours, kitex, problems) in [
            ("some script", true, true, 0),
            ("some script", false, true, 1),
            ("some script", true, false, 1),
            (always, true, false, 0),
            (always, true, true, 1),
            (always, false, false, 1),
            (timing, true, false, 0),
            (timing, true, true, 0),
            (timing, false, true, 1),
        ] {
            let peers = [("ours", false), ("Kitex", true)];
            let peers = peers.map(|(name, is_kitex)| Peer { name: name.to_owned(), is_kitex });
            let outcomes = [ours, kitex].map(|passed| Outcome { passed, seen: String::new() }).to_vec();
            let row = Row { name: name.to_owned(), want: String::new(), outcomes };
            let report = Report::new(&peers, &[row]);
            assert_eq!(report.problems.len(), problems, "{name} {ours} {kitex}: {:?}", report.problems);
        }
    }
}
