//! The table of endings against live Kitex: the rows that stand in `stream-core/tests/table`, put to one
//! end of ours and one of Kitex's, with a proxy between them that sees every frame. Our end sees what
//! the row says; what Kitex's end does otherwise stands in `deviations`.

mod deviations;
mod frames_of;
mod ours;
mod proxy;
mod seat;

#[path = "../../../../stream-core/tests/harness/frames.rs"]
#[allow(dead_code, reason = "a table needs less of frames than a simulation")]
mod frames;
#[path = "../../../../stream-core/tests/table/mod.rs"]
mod table;

use self::deviations::{Deviation, OF_SERVER};
use self::table::{Row, Way, rows};
use crate::peer::Peer::Go;
use crate::peer::{Process, go_is_here, say};

/// What was not as a row says: where, what was seen, what the row says.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<(&'static str, String, String)>);

impl Found {
    fn differ<T: PartialEq + ToString>(&mut self, column: &'static str, seen: T, expected: T) {
        if seen != expected {
            self.0.push((column, seen.to_string(), expected.to_string()));
        }
    }
}

/// Servers that rows are put to at once.
const SERVERS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_and_kitexs_server_end_streams_as_the_table_says() {
    if !go_is_here() {
        return;
    }
    let rows: Vec<(Way, Row)> = rows::all()
        .into_iter()
        .flat_map(|(way, rows)| rows.into_iter().map(move |row| (way, row)))
        .filter(|(way, row)| ours::reachable(*way, row))
        .collect();
    let mut tasks = Vec::new();
    for number in 0..SERVERS {
        let rows: Vec<_> = rows.iter().copied().skip(number).step_by(SERVERS).collect();
        tasks.push(tokio::spawn(async move {
            let (server, address) = Process::serve(Go, "");
            let mut found = Vec::new();
            for (way, row) in rows {
                found.push((way, row, ours::check(&server, &address, way, &row).await));
            }
            found
        }));
    }
    let mut found = Vec::new();
    for task in tasks {
        found.extend(task.await.expect("a row is played to its end"));
    }
    judge(&found, OF_SERVER);
}

/// Every difference is a known one, and every known one was seen.
fn judge(found: &[(Way, Row, Found)], known: &[Deviation]) {
    let (mut wrong, mut seen) = (Vec::new(), vec![0; known.len()]);
    for (way, row, Found(found)) in found {
        for (column, is, expected) in found {
            let explains = |known: &Deviation| {
                (known.way)(*way)
                    && (known.place)(row.mode, row.state)
                    && known.column == *column
                    && known.seen == *is
            };
            match known.iter().position(explains) {
                Some(at) => seen[at] += 1,
                None => wrong.push(format!(
                    "{way:?}, {:?}, {:?}: {column}:\n    {is}\n    not {expected}",
                    row.mode, row.state
                )),
            }
        }
    }
    let stale = known.iter().zip(&seen).filter(|(_, seen)| **seen == 0).map(|(known, _)| known.why);
    wrong.extend(stale.map(|why| format!("never seen: {why}")));
    let deviating: usize = seen.iter().sum();
    say(&format!(
        "{} rows, {deviating} cells of Kitex's that differ in {} known ways",
        found.len(),
        known.len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
