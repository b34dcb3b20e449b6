//! What has changed among the streams of this process since the last look, as JSON for a process elsewhere that joins
//! the parts of several services (see [`Joined`](super::Joined)).

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use serde_json::{Value, json};
use stream_core::cancel::Label;
use stream_core::observe::{CancelView, StreamInfo, StreamView, cancels, streams};
use stream_core::{StreamPhase, Traffic};

use super::{age_ms, cancel_json, label_id, side, text};

/// Follows the streams and cancels of this process: each [`take`](Self::take) returns what has changed since the one
/// before. It holds as many entries as streams are open.
#[derive(Debug, Default)]
pub struct Changes {
    started: bool,
    known: HashMap<Label, Progress>,
    cancels: HashSet<(SystemTime, Label)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    phase: StreamPhase,
    sent: Traffic,
    received: Traffic,
}

impl Changes {
    /// Returns a follower that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what has changed since the last call, or `None` if nothing has. The first call returns all there is:
    ///
    /// `{"start": true, "opened": [{"id", "parent", "chain", "side", "own_service",
    /// "peer_service", "service", "method", "local", "peer", "stream", "age_ms",
    /// "state", "sent", "received"}], "changed": [{"id", "state", "sent", "received"}], "closed": [id],
    /// "cancels": [..]}`, with cancels as [`to_json`](super::to_json) has them. A stream that was opened and closed
    /// between two calls is not in it. Takes time that grows with the number of open streams.
    pub fn take(&mut self) -> Option<Value> {
        self.compare(streams(), &cancels())
    }

    fn compare(&mut self, streams: Vec<StreamView>, cancels: &[CancelView]) -> Option<Value> {
        let start = !std::mem::replace(&mut self.started, true);
        let mut known = HashMap::with_capacity(streams.len());
        let (mut opened, mut changed) = (Vec::new(), Vec::new());
        for StreamView { info, phase, sent, received } in streams {
            let progress = Progress { phase, sent, received };
            match self.known.remove(&info.label) {
                None => opened.push(opened_json(&info, progress)),
                Some(before) if before != progress => changed.push(progress_json(&info, progress)),
                Some(_) => {}
            }
            known.insert(info.label, progress);
        }
        let closed: Vec<String> = self.known.keys().map(|label| label_id(*label)).collect();
        self.known = known;
        let seen: HashSet<_> = cancels.iter().map(|cancel| (cancel.at, cancel.stream.label)).collect();
        let new = cancels.iter().filter(|cancel| !self.cancels.contains(&(cancel.at, cancel.stream.label)));
        let new: Vec<Value> = new.map(cancel_json).collect();
        self.cancels = seen;
        let same = opened.is_empty() && changed.is_empty() && closed.is_empty() && new.is_empty();
        (start || !same).then(|| {
            json!({"start": start, "opened": opened, "changed": changed, "closed": closed, "cancels": new})
        })
    }
}

fn opened_json(info: &StreamInfo, progress: Progress) -> Value {
    let Value::Object(mut opened) = progress_json(info, progress) else { return Value::Null };
    opened.extend([
        ("parent".to_owned(), info.parent.map(label_id).into()),
        ("chain".to_owned(), info.chain.map(|chain| chain.to_string()).into()),
        ("side".to_owned(), side(info.side).into()),
        ("own_service".to_owned(), (*info.own_service).into()),
        ("peer_service".to_owned(), info.peer_service.as_deref().into()),
        ("service".to_owned(), text(&info.service).into()),
        ("method".to_owned(), text(&info.method).into()),
        ("local".to_owned(), info.local.to_string().into()),
        ("peer".to_owned(), info.peer.to_string().into()),
        ("stream".to_owned(), info.label.stream.into()),
        ("age_ms".to_owned(), age_ms(info.opened).into()),
    ]);
    opened.into()
}

fn progress_json(info: &StreamInfo, Progress { phase, sent, received }: Progress) -> Value {
    let traffic = |traffic: Traffic| json!({"messages": traffic.messages, "bytes": traffic.bytes});
    json!({
        "id": label_id(info.label),
        "state": phase.as_str(),
        "sent": traffic(sent),
        "received": traffic(received),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use kerrors::{Code, Side, StreamError};
    use stream_core::io::Address;
    use stream_core::observe::StreamFacts;

    use super::*;

    #[test]
    fn changes_take_returns_what_has_changed_and_nothing_twice() {
        let mut changes = Changes::new();
        let ids = |value: &Value, key: &str| -> Vec<String> {
            let items = value[key].as_array().unwrap().iter();
            items.map(|item| item["id"].as_str().or(item.as_str()).unwrap().to_owned()).collect()
        };
        let mut check =
            |streams: &[(i32, u64)], cancels: usize, expected: Option<[&[&str]; 3]>, new: usize| {
                let streams = streams.iter().map(|(stream, sent)| view(*stream, *sent)).collect();
                let change = changes.compare(streams, &(0..cancels).map(cancel).collect::<Vec<_>>());
                let found =
                    change.as_ref().map(|change| ["opened", "changed", "closed"].map(|key| ids(change, key)));
                let expected =
                    expected.map(|lists| lists.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()));
                assert_eq!(found, expected);
                assert_eq!(change.map_or(0, |change| change["cancels"].as_array().unwrap().len()), new);
            };
        check(&[], 0, Some([&[], &[], &[]]), 0);
        check(&[], 0, None, 0);
        check(&[(1, 0)], 0, Some([&["7.1"], &[], &[]]), 0);
        check(&[(1, 0)], 0, None, 0);
        check(&[(1, 5), (2, 0)], 1, Some([&["7.2"], &["7.1"], &[]]), 1);
        check(&[(2, 0)], 2, Some([&[], &[], &["7.1"]]), 1);
        check(&[(2, 0)], 2, None, 0);
    }

    /// A watcher that is slow takes one change for many.
    #[test]
    fn changes_take_is_bounded_by_the_open_streams() {
        let mut changes = Changes::new();
        let count = |change: &Value, key: &str| change[key].as_array().map_or(0, Vec::len);
        for round in 0..10_usize {
            let ids = (1000 * round..1000 * round + 1000).map(|id| i32::try_from(id).unwrap());
            let streams = ids.map(|id| view(id, 1)).collect();
            let cancels: Vec<CancelView> = (0..256).map(|at| cancel(256 * round + at)).collect();
            let change = changes.compare(streams, &cancels).unwrap();
            let closed = if round == 0 { 0 } else { 1000 };
            let found = ["opened", "changed", "closed", "cancels"].map(|key| count(&change, key));
            assert_eq!(found, [1000, 0, closed, 256]);
            assert_eq!((changes.known.len(), changes.cancels.len()), (1000, 256));
        }
    }

    fn info(stream: i32) -> StreamInfo {
        let at = |port: u16| Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let facts = StreamFacts::new(Label { connection: 7, stream }, at(1), at(2));
        StreamInfo::new(facts, Side::Client, Instant::now())
    }

    fn view(stream: i32, messages: u64) -> StreamView {
        let sent = Traffic { messages, bytes: 0 };
        StreamView { info: info(stream), phase: StreamPhase::Open, sent, received: Traffic::default() }
    }

    fn cancel(at: usize) -> CancelView {
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at as u64);
        let error = StreamError::new(Code::CANCELED).into();
        CancelView { at, received: Instant::now(), stream: info(1), error, took: std::time::Duration::ZERO }
    }
}
