//! The table of stream ends against live Kitex: the rows of `ttstream/tests/table`, played with one end of
//! ours and one of Kitex, and a proxy between them that sees every frame. Our end must match the row;
//! deviations of Kitex's end are listed in `deviations`.

mod credits;
mod deviations;
mod frames_of;
mod ours;
mod proxy;
mod seat;
mod theirs;

#[path = "../../../../ttstream/tests/harness/frames.rs"]
#[allow(dead_code, reason = "a table needs less of frames than a simulation")]
mod frames;
#[path = "../../../../ttstream/tests/table/mod.rs"]
mod table;

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use self::deviations::{Deviation, OF_CLIENT, OF_SERVER};
use self::table::{Row, Way, rows};
use crate::peer::Peer::Go;
use crate::peer::{Process, go_is_here, older_kitex, say};

/// The differences from a row: column, seen value, value of the row.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<(&'static str, String, String)>);

impl Found {
    fn differ<T: PartialEq + ToString>(&mut self, column: &'static str, seen: &T, expected: &T) {
        if seen != expected {
            self.0.push((column, seen.to_string(), expected.to_string()));
        }
    }
}

/// The number of concurrent servers.
const SERVERS: usize = 12;
/// The number of concurrent clients.
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_and_kitexs_server_end_streams_as_the_table_says() {
    if !go_is_here() {
        return;
    }
    let rows = reachable_rows(ours::reachable);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kitexs_client_and_our_server_end_streams_as_the_table_says() {
    if !go_is_here() {
        return;
    }
    let mut rows = reachable_rows(theirs::reachable).into_iter();
    let (mut found, mut playing) = (Vec::new(), JoinSet::new());
    loop {
        while playing.len() < CLIENTS
            && let Some((way, row)) = rows.next()
        {
            playing.spawn(async move { (way, row, theirs::check(way, &row).await) });
        }
        match playing.join_next().await {
            Some(played) => found.push(played.expect("a row is played to its end")),
            None => break,
        }
    }
    judge(&found, OF_CLIENT);
}

fn reachable_rows(reachable: fn(Way, &Row) -> bool) -> Vec<(Way, Row)> {
    let rows = rows::all().into_iter().flat_map(|(way, rows)| rows.into_iter().map(move |row| (way, row)));
    rows.filter(|(way, row)| reachable(*way, row)).collect()
}

/// Checks that every difference is a known one, and that every known one was seen.
fn judge(found: &[(Way, Row, Found)], known: &[Deviation]) {
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::new());
    let is_older = older_kitex().is_some();
    let known: Vec<&Deviation> = known.iter().filter(|known| known.of.has(is_older)).collect();
    for (way, row, Found(found)) in found {
        for (column, is, expected) in found {
            let explains = |known: &&Deviation| {
                let cell = known.cells.iter().any(|(name, seen)| name == column && seen.contains(&&**is));
                cell && (known.way)(*way) && (known.place)(row.mode, row.state)
            };
            match known.iter().copied().find(explains) {
                Some(known) => *seen.entry((known.why, *column)).or_insert(0) += 1,
                None => wrong.push(format!(
                    "{way:?}, {:?}, {:?}: {column}:\n    {is}\n    not {expected}",
                    row.mode, row.state
                )),
            }
        }
    }
    let cells = known.iter().flat_map(|known| known.cells.iter().map(|(column, _)| (known.why, *column)));
    let stale = cells.filter(|cell| !seen.contains_key(cell));
    wrong.extend(stale.map(|(why, column)| format!("never seen, {column}: {why}")));
    say(&format!(
        "{} rows; of Kitex's cells {} differ as is known",
        found.len(),
        seen.values().sum::<usize>()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
