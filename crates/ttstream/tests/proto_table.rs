//! The table: how streams end, whoever ends them, wherever they are. The rows are in `table/rows.rs`;
//! what plays one of them on two connections is `lab`; here is what compares.

mod harness;
mod lab;
mod table;

use std::task::Poll;

use kerrors::{Error, Side};
use lab::Lab;
use table::ends::{CANCELED_HERE, RECV_TIMEOUT_KEPT};
use table::{End, Row, Told, Way, rows};
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

/// Plays one row; gives what was not as it says.
fn check(way: Way, row: &Row) -> Vec<String> {
    let mut lab = Lab::new(way, row);
    lab.reach();
    lab.act();
    lab.settle();

    let mut found = Vec::new();
    if let Some(error) = &lab.kept {
        let (seen, expected) = (End::Error(told(error, RECV_TIMEOUT_KEPT)), RECV_TIMEOUT_KEPT);
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
    /// Whether one end sees what the row says; takes what is left there.
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
                End::RecvError(told(error, expected))
            }
            (None, Poll::Ready(Err(_))) => End::Gone,
            (None, _) => End::Live,
            (Some(Ok(())), _) => End::Clean,
            (Some(Err(Error::Biz(biz))), _) => match expected {
                End::Biz(text) if text == biz.to_string() => expected,
                _ => End::Biz("another"),
            },
            (Some(Err(error)), _) => End::Error(told(error, expected)),
        };
        differ(found, side, "end", &end, &expected);
        if let Some(outcome) = outcome {
            self.compare_verbs(side, key, outcome, found);
        }
        self.compare_events(side, key, expected, found);
    }

    /// Send and Recv say the same, again and again.
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

    /// A handler is told once, unless it has ended the stream itself; and who watches a client is told of
    /// each cancel that began there.
    fn compare_events(&self, side: Side, key: StreamKey, expected: End, found: &mut Vec<String>) {
        let peer = if side == Side::Client { &self.pair.client } else { &self.pair.server };
        let events = peer.events.iter().filter_map(|event| match event {
            Event::Canceled(told, error) | Event::Reset(told, error) if *told == key => {
                Some(error.to_string())
            }
            _ => None,
        });
        let told = match (side, expected) {
            (Side::Server, End::Error(told)) if !self.returned => vec![told.sentence()],
            (Side::Client, End::Error(told)) if begins_at_client(self.way) => vec![told.sentence()],
            (Side::Client, End::Gone) => vec![sentence(CANCELED_HERE)],
            _ => Vec::new(),
        };
        differ(found, side, "events", &events.collect::<Vec<_>>(), &told);
    }
}

/// Whether the client ends the stream by itself, and not because something above it has ended.
fn begins_at_client(way: Way) -> bool {
    let here = [Way::Cancel, Way::Cause, Way::Deadline, Way::RecvTimeout, Way::Foreign];
    let faults = [Way::HeaderTo(Side::Client), Way::UnknownTo(Side::Client), Way::Slow(Side::Client)];
    let times = [Way::SendTimeout(Side::Client), Way::Idle(Side::Client)];
    here.contains(&way) || faults.contains(&way) || times.contains(&way)
}

/// The cell that an error fills: the expected one if every column is the same.
fn told(error: &Error, expected: End) -> Told {
    let error = error.stream().expect("a stream error");
    let seen =
        Told { code: error.code().number(), kind: error.kind(), side: error.side(), path: "", text: "" };
    match expected {
        End::Error(told) | End::RecvError(told)
            if (seen == Told { path: "", text: "", ..told })
                && error.to_string() == told.sentence()
                && error.path().map_or_else(String::new, ToString::to_string) == told.path =>
        {
            told
        }
        _ => Told { text: error.to_string().leak(), ..seen },
    }
}

fn sentence(end: End) -> String {
    if let End::Error(told) = end { told.sentence() } else { String::new() }
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
