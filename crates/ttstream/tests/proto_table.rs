//! The table of stream ends: every cause in every state. The rows are in `table/rows.rs`; `lab` plays a row
//! on two connections; this file compares.

mod harness;
mod lab;
mod table;

use std::task::Poll;

use kerrors::{Error, Side};
use lab::Lab;
use table::ends::{CANCELED_HERE, RECV_TIMEOUT_KEPT};
use table::{End, Row, SeenError, Way, rows};
use ttstream::proto::{Event, StreamKey};

#[test]
fn every_stream_ends_as_the_table_says() {
    let (mut played, mut wrong) = (0, Vec::new());
    for (way, rows) in rows::all() {
        for row in rows {
            played += 1;
            let found = check(way, &row);
            if !found.is_empty() {
                let place = format!("{way:?}, {:?}, {:?}", row.mode, row.state);
                wrong.push(format!("{place}:\n    {}", found.join("\n    ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {played} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(played >= 480, "{played} rows");
}

/// Plays one row; returns the differences.
fn check(way: Way, row: &Row) -> Vec<String> {
    let mut lab = Lab::new(way, row);
    lab.reach();
    lab.act();
    lab.settle();

    let mut found = Vec::new();
    if let Some(error) = &lab.kept {
        let (seen, expected) = (End::Error(seen_error(error, RECV_TIMEOUT_KEPT)), RECV_TIMEOUT_KEPT);
        differ(&mut found, Side::Client, "recv", &seen, &expected);
    }
    lab.compare(Side::Server, row.server, row.left[1], &mut found);
    lab.react();
    lab.compare(Side::Client, row.client, row.left[0], &mut found);
    let id = lab.key.id().get();
    for (wire, expected) in [(&lab.pair.to_server, row.client_sends), (&lab.pair.to_client, row.server_sends)]
    {
        let word = wire.sent.word(id);
        if word != expected {
            found.push(format!("sent {word}, not {expected}"));
        }
    }

    lab.tear_down();
    lab.pair.check_wire();
    lab.pair.check_empty();
    found
}

impl Lab {
    /// Compares what one end sees with the row; takes the remaining messages.
    fn compare(&mut self, side: Side, expected: End, left: usize, found: &mut Vec<String>) {
        let Some(key) = self.end_of(side) else {
            return differ(found, side, "end", &End::Unaware, &expected);
        };
        let mut taken = 0;
        let recv = loop {
            match self.pair.recv(side, key) {
                Poll::Ready(Ok(Some(_))) => taken += 1,
                other => break other,
            }
        };
        differ(found, side, "messages left", &taken, &left);
        let outcome = self.pair.peer(side).conn.outcome(key);
        let end = match (&outcome, &recv) {
            (None, Poll::Ready(Err(error))) if self.pair.peer(side).conn.method(key).is_some() => {
                End::RecvError(seen_error(error, expected))
            }
            (None, Poll::Ready(Err(_))) => End::Gone,
            (None, _) => End::Live,
            (Some(Ok(())), _) => End::Clean,
            (Some(Err(Error::Biz(biz))), _) => match expected {
                End::Biz(text) if text == biz.to_string() => expected,
                _ => End::Biz("another"),
            },
            (Some(Err(error)), _) => End::Error(seen_error(error, expected)),
        };
        differ(found, side, "end", &end, &expected);
        if let Some(outcome) = outcome {
            self.compare_verbs(side, key, outcome, found);
        }
        self.compare_events(side, key, expected, found);
    }

    /// Checks that Send and Recv return the same error, repeatedly.
    fn compare_verbs(
        &mut self,
        side: Side,
        key: StreamKey,
        outcome: Result<(), Error>,
        found: &mut Vec<String>,
    ) {
        let ended = outcome.as_ref().map_or_else(ToString::to_string, |()| "None".into());
        let closed = outcome.map_or_else(
            |error| error.to_string(),
            |()| "[ttstream error, code=12005] [client-side stream] stream is closed send".into(),
        );
        for _ in 0..2 {
            let recv = match self.pair.recv(side, key) {
                Poll::Ready(recv) => recv.map_or_else(|error| error.to_string(), |none| format!("{none:?}")),
                Poll::Pending => "pending".into(),
            };
            differ(found, side, "recv", &recv, &ended);
            let send = self.pair.send(side, key, b"late");
            let send = send.map_or_else(|error| error.to_string(), |sent| sent.to_string());
            differ(found, side, "send", &send, &closed);
        }
    }

    /// Checks that a handler gets one `Canceled` event, unless it has ended the stream itself, and that a
    /// client gets a `Reset` event for each cancel that began there.
    fn compare_events(&self, side: Side, key: StreamKey, expected: End, found: &mut Vec<String>) {
        let peer = if side == Side::Client { &self.pair.client } else { &self.pair.server };
        let events = peer.events.iter().filter_map(|event| match event {
            Event::Canceled(ended, error) | Event::Reset(ended, error) if *ended == key => {
                Some(error.to_string())
            }
            _ => None,
        });
        let expected = match (side, expected) {
            (Side::Server, End::Error(error)) if !self.returned => vec![error.sentence()],
            (Side::Client, End::Error(error)) if begins_at_client(self.way) => vec![error.sentence()],
            (Side::Client, End::Gone) => vec![sentence(CANCELED_HERE)],
            _ => Vec::new(),
        };
        differ(found, side, "events", &events.collect::<Vec<_>>(), &expected);
    }
}

/// Returns whether the client ends the stream other than by a cancel of a parent scope.
fn begins_at_client(way: Way) -> bool {
    let here = [Way::Cancel, Way::Cause, Way::Deadline, Way::RecvTimeout, Way::Foreign];
    let faults = [Way::HeaderTo(Side::Client), Way::UnknownTo(Side::Client), Way::Slow(Side::Client)];
    let times = [Way::SendTimeout(Side::Client), Way::Idle(Side::Client)];
    here.contains(&way) || faults.contains(&way) || times.contains(&way)
}

/// Returns the cell of an error: the expected one if every column is the same.
fn seen_error(error: &Error, expected: End) -> SeenError {
    let error = error.stream().expect("a stream error");
    let seen =
        SeenError { code: error.code().number(), kind: error.kind(), side: error.side(), path: "", text: "" };
    match expected {
        End::Error(row) | End::RecvError(row)
            if (seen == SeenError { path: "", text: "", ..row })
                && error.to_string() == row.sentence()
                && error.path().map_or_else(String::new, ToString::to_string) == row.path =>
        {
            row
        }
        _ => SeenError { text: error.to_string().leak(), ..seen },
    }
}

fn sentence(end: End) -> String {
    if let End::Error(error) = end { error.sentence() } else { String::new() }
}

fn differ<T: PartialEq + std::fmt::Debug>(
    found: &mut Vec<String>,
    side: Side,
    what: &str,
    seen: &T,
    expected: &T,
) {
    if seen != expected {
        found.push(format!("{side:?} {what}: {seen:?}, not {expected:?}"));
    }
}
