//! Shows the cancellation tree: every open stream of this process, over every transport, as a node below the one that
//! opened it, and the latest cancels; as values, as JSON, and over HTTP (feature `inspect-http`).
//!
//! A stream has an end in each of two processes: the client's end has the addresses of the server's in reverse, and
//! both have the same number after the dot of their `id`. Streams of one chain of calls have one `chain` id, if its
//! first client has [`ChainIds`] or an observer for traces.

mod chain;
mod changes;
#[cfg(feature = "inspect-http")]
mod http;
mod joined;

use std::collections::HashMap;
use std::time::{Instant, UNIX_EPOCH};

use bytes::Bytes;
use kerrors::Side;
use serde_json::{Value, json};
use stream_core::cancel::Label;
use stream_core::clock;
use stream_core::io::Address;
use stream_core::observe::{CancelView, StreamInfo, StreamView, cancels, streams};

pub use chain::ChainIds;
pub use changes::Changes;
#[cfg(feature = "inspect-http")]
pub use http::{InspectServer, bind};
pub use joined::Joined;

/// A stream and the streams opened below it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The stream.
    pub stream: StreamView,
    /// Streams opened by its handler; if both ends are in this process, also the other end.
    pub children: Vec<Node>,
}

/// Returns every open stream of this process, as trees, the oldest first. The roots are streams that were not opened by
/// a handler of this process, and those below 128 others, so that a tree of any depth can be read and dropped. Takes linear
/// time.
pub fn tree() -> Vec<Node> {
    grow(streams())
}

fn grow(mut streams: Vec<StreamView>) -> Vec<Node> {
    streams.sort_by_key(|stream| stream.info.opened);
    let index = ParentIndex::new(&streams);
    let parents: Vec<Option<usize>> =
        streams.iter().enumerate().map(|(at, stream)| index.parent_of(at, &stream.info)).collect();
    let is_root = |at: usize| parents.get(at).copied().flatten().is_none();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); streams.len()];
    for (at, parent) in parents.iter().enumerate() {
        if let Some(children) = parent.and_then(|parent| children.get_mut(parent)) {
            children.push(at);
        }
    }
    let mut roots: Vec<usize> = (0..streams.len()).filter(|at| is_root(*at)).collect();
    let mut order: Vec<(usize, usize)> = roots.iter().map(|root| (*root, 1)).collect();
    let mut next = 0;
    while let Some((at, depth)) = order.get(next).copied() {
        let Some(below) = children.get_mut(at) else { break };
        if depth < MAX_DEPTH {
            order.extend(below.iter().map(|child| (*child, depth + 1)));
        } else {
            order.extend(below.iter().map(|child| (*child, 1)));
            roots.append(below);
        }
        next += 1;
    }
    // From the leaves up, so that no recursion is needed, however long a chain is.
    let mut streams: Vec<Option<StreamView>> = streams.into_iter().map(Some).collect();
    let mut grown: HashMap<usize, Node> = HashMap::new();
    for (at, _) in order.into_iter().rev() {
        let Some(stream) = streams.get_mut(at).and_then(Option::take) else { continue };
        let below = children.get(at).into_iter().flatten().filter_map(|child| grown.remove(child)).collect();
        grown.insert(at, Node { stream, children: below });
    }
    roots.iter().filter_map(|root| grown.remove(root)).collect()
}

/// What is dropped or written level by level must not take more stack than a thread has.
const MAX_DEPTH: usize = 128;

/// Finds the parent of a stream: the one whose handler opened it, or the client's end of it.
struct ParentIndex {
    by_label: HashMap<Label, usize>,
    /// Clients' ends, by stream id and both addresses.
    clients: HashMap<(i32, Address, Address), usize>,
}

impl ParentIndex {
    fn new(streams: &[StreamView]) -> Self {
        let mut index = Self { by_label: HashMap::new(), clients: HashMap::new() };
        for (at, StreamView { info, .. }) in streams.iter().enumerate() {
            index.by_label.entry(info.label).or_insert(at);
            if info.side == Side::Client {
                let end = (info.label.stream, info.local.clone(), info.peer.clone());
                index.clients.entry(end).or_insert(at);
            }
        }
        index
    }

    fn parent_of(&self, at: usize, stream: &StreamInfo) -> Option<usize> {
        let opener = stream.parent.and_then(|parent| self.by_label.get(&parent));
        let other_end = || match stream.side {
            // With the addresses as its client sees them.
            Side::Server => {
                self.clients.get(&(stream.label.stream, stream.peer.clone(), stream.local.clone()))
            }
            Side::Client => None,
        };
        opener.or_else(other_end).copied().filter(|parent| *parent != at)
    }
}

/// Returns trees and cancels as one JSON value:
/// `{"streams": [{"id", "chain", "side", "own_service", "peer_service", "service", "method", "local", "peer", "age_ms",
/// "state", "sent", "received", "children"}], "cancels": [{"at_ms", "id", "chain", "side", "own_service", "service",
/// "method", "local", "peer", "kind", "code", "path", "cause", "took_us"}]}`. `service` and `method` are names in the IDL, `chain` and
/// `peer_service` are null if they are not known, `code` is that of the stream error or the gRPC status.
pub fn to_json() -> Value {
    let mut shown = json!({"streams": null, "cancels": null});
    shown["streams"] = tree().iter().map(node_json).collect();
    shown["cancels"] = cancels().iter().map(cancel_json).collect();
    shown
}

fn node_json(node: &Node) -> Value {
    let StreamView { info, phase, sent, received } = &node.stream;
    let mut shown = json!({
        "id": id(info),
        "chain": info.chain.map(|chain| chain.to_string()),
        "side": side(info.side),
        "own_service": &*info.own_service,
        "peer_service": info.peer_service.as_deref(),
        "service": text(&info.service),
        "method": text(&info.method),
        "local": info.local.to_string(),
        "peer": info.peer.to_string(),
        "age_ms": age_ms(info.opened),
        "state": phase.as_str(),
        "sent": {"messages": sent.messages, "bytes": sent.bytes},
        "received": {"messages": received.messages, "bytes": received.bytes},
    });
    // Moved: `json!` would copy all that is below, once for each level.
    shown["children"] = node.children.iter().map(node_json).collect();
    shown
}

fn cancel_json(cancel: &CancelView) -> Value {
    let CancelView { at, stream, error, took, .. } = cancel;
    let path: Vec<&str> = error.path().into_iter().flat_map(kerrors::CancelPath::services).collect();
    json!({
        "at_ms": millis(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()),
        "id": id(stream),
        "chain": stream.chain.map(|chain| chain.to_string()),
        "side": side(stream.side),
        "own_service": &*stream.own_service,
        "service": text(&stream.service),
        "method": text(&stream.method),
        "local": stream.local.to_string(),
        "peer": stream.peer.to_string(),
        "kind": error.kind().as_str(),
        "code": error.code().map(kerrors::Code::number),
        "path": path,
        "cause": error.message(),
        "took_us": millis(took.as_micros()),
    })
}

fn id(info: &StreamInfo) -> String {
    label_id(info.label)
}

fn label_id(label: Label) -> String {
    format!("{}.{}", label.connection, label.stream)
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the time since `opened` in milliseconds, on the clock on which streams are opened.
fn age_ms(opened: Instant) -> u64 {
    millis(clock::now().saturating_duration_since(opened).as_millis())
}

fn millis(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stream_core::observe::StreamFacts;
    use stream_core::{StreamPhase, Traffic};

    use super::*;

    fn stream(
        side: Side,
        label: Label,
        parent: Option<Label>,
        ends: [&str; 2],
        opened: Instant,
    ) -> StreamView {
        let [local, peer] = ends.map(|end| Address::Tcp(end.parse().unwrap()));
        let mut info = StreamInfo::new(StreamFacts::new(label, local, peer), side, opened);
        info.parent = parent;
        StreamView { info, phase: StreamPhase::Open, sent: Traffic::default(), received: Traffic::default() }
    }

    /// Chains of three services in this process: a client's end, the server's end of it, and again.
    fn chains(count: i32) -> Vec<StreamView> {
        let began = Instant::now();
        let at = |hop: u64| began + Duration::from_micros(hop);
        (1..=count)
            .flat_map(|id| {
                let label = |connection| Label { connection, stream: id };
                let (a, b) = (["127.0.0.1:1", "127.0.0.1:2"], ["127.0.0.1:3", "127.0.0.1:4"]);
                [
                    stream(Side::Server, label(4), None, [b[1], b[0]], at(4)),
                    stream(Side::Client, label(3), Some(label(2)), b, at(3)),
                    stream(Side::Server, label(2), None, [a[1], a[0]], at(2)),
                    stream(Side::Client, label(1), None, a, at(1)),
                ]
            })
            .collect()
    }

    fn shape(node: &Node) -> String {
        let children: Vec<String> = node.children.iter().map(shape).collect();
        format!(
            "{}.{}({})",
            node.stream.info.label.connection,
            node.stream.info.label.stream,
            children.join(" ")
        )
    }

    #[test]
    fn inspect_tree_has_each_stream_below_its_parent() {
        let shapes: Vec<String> = grow(chains(2)).iter().map(shape).collect();
        assert_eq!(shapes, ["1.1(2.1(3.1(4.1())))", "1.2(2.2(3.2(4.2())))"]);
        assert!(grow(Vec::new()).is_empty());
    }

    /// A service that calls itself: each stream is opened by the handler of the one before.
    #[test]
    fn inspect_tree_of_any_depth_is_cut_and_dropped() {
        let began = Instant::now();
        let ends = ["127.0.0.1:1", "127.0.0.1:2"];
        let label = |id: i32| Label { connection: 1, stream: id };
        let link = |id: i32| {
            let parent = (id > 1).then(|| label(id - 1));
            stream(
                Side::Client,
                label(id),
                parent,
                ends,
                began + Duration::from_micros(id.unsigned_abs().into()),
            )
        };
        let trees = grow((1..=50_000).map(link).collect());
        assert_eq!(trees.len(), 50_000_usize.div_ceil(MAX_DEPTH));
        assert!(trees.iter().map(node_json).all(|tree| tree["children"].is_array()));
        // Quadratic time in the depth would be a minute.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[test]
    fn inspect_tree_takes_linear_time() {
        let streams = chains(25_000);
        let began = Instant::now();
        assert_eq!(grow(streams).len(), 25_000);
        // Quadratic time would be 10^10 comparisons: minutes.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
