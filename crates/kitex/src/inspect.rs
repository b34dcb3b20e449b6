//! The cancellation tree, visible: every open stream of this process as a node below the one that opened
//! it, and the cancels of late. As values, as JSON, and on a small HTTP address (feature `inspect-http`).

#[cfg(feature = "inspect-http")]
mod http;

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use kerrors::Side;
use serde_json::{Value, json};
use stream_core::cancel::Label;
use stream_core::io::Address;
use stream_core::observe::{CancelView, StreamInfo, StreamView, cancels, streams};

#[cfg(feature = "inspect-http")]
pub use http::serve;

/// A stream and what was opened below it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The stream.
    pub stream: StreamView,
    /// What its handler has opened; and where both ends are in this process, the other end.
    pub children: Vec<Node>,
}

/// Returns every open stream of this process, as trees, the oldest first. The roots are streams that nobody in this
/// process caused. Takes time that grows with the number of streams, not with its square.
pub fn tree() -> Vec<Node> {
    grow(streams())
}

fn grow(mut streams: Vec<StreamView>) -> Vec<Node> {
    streams.sort_by_key(|stream| stream.info.opened);
    let above = Above::new(&streams);
    let parents: Vec<Option<usize>> =
        streams.iter().enumerate().map(|(at, stream)| above.of(at, &stream.info)).collect();
    let is_root = |at: usize| parents.get(at).copied().flatten().is_none();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); streams.len()];
    for (at, parent) in parents.iter().enumerate() {
        if let Some(children) = parent.and_then(|parent| children.get_mut(parent)) {
            children.push(at);
        }
    }
    // From the leaves up, so that a chain of any length needs no recursion.
    let roots: Vec<usize> = (0..streams.len()).filter(|at| is_root(*at)).collect();
    let mut order = roots.clone();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        order.extend(children.get(at).into_iter().flatten());
        next += 1;
    }
    let mut streams: Vec<Option<StreamView>> = streams.into_iter().map(Some).collect();
    let mut grown: HashMap<usize, Node> = HashMap::new();
    for at in order.into_iter().rev() {
        let Some(stream) = streams.get_mut(at).and_then(Option::take) else { continue };
        let below = children.get(at).into_iter().flatten().filter_map(|child| grown.remove(child)).collect();
        grown.insert(at, Node { stream, children: below });
    }
    roots.iter().filter_map(|root| grown.remove(root)).collect()
}

/// Finds the stream above another: the one under whose handler it was opened, or the client's end of it.
struct Above {
    by_label: HashMap<Label, usize>,
    /// Clients' ends, by stream id and both addresses.
    clients: HashMap<(i32, Address, Address), usize>,
}

impl Above {
    fn new(streams: &[StreamView]) -> Self {
        let mut above = Self { by_label: HashMap::new(), clients: HashMap::new() };
        for (at, StreamView { info, .. }) in streams.iter().enumerate() {
            above.by_label.entry(info.label).or_insert(at);
            if info.side == Side::Client {
                let end = (info.label.stream, info.local.clone(), info.peer.clone());
                above.clients.entry(end).or_insert(at);
            }
        }
        above
    }

    fn of(&self, at: usize, stream: &StreamInfo) -> Option<usize> {
        let opener = stream.parent.and_then(|parent| self.by_label.get(&parent));
        let other_end = || match stream.side {
            // As its client sees the addresses.
            Side::Server => {
                self.clients.get(&(stream.label.stream, stream.peer.clone(), stream.local.clone()))
            }
            Side::Client => None,
        };
        opener.or_else(other_end).copied().filter(|above| *above != at)
    }
}

/// Trees and cancels as one JSON value:
/// `{"streams": [{"id", "side", "service", "method", "peer", "age_ms", "state", "sent", "received",
/// "children"}], "cancels": [{"at_ms", "id", "side", "service", "method", "code", "path", "cause",
/// "took_us"}]}`.
pub fn to_json() -> Value {
    let streams: Vec<Value> = tree().iter().map(node_json).collect();
    let cancels: Vec<Value> = cancels().iter().map(cancel_json).collect();
    json!({"streams": streams, "cancels": cancels})
}

fn node_json(node: &Node) -> Value {
    let StreamView { info, phase, sent, received } = &node.stream;
    let children: Vec<Value> = node.children.iter().map(node_json).collect();
    json!({
        "id": id(info),
        "side": side(info.side),
        "service": text(&info.service),
        "method": text(&info.method),
        "peer": info.peer.to_string(),
        "age_ms": millis(info.opened.elapsed().as_millis()),
        "state": phase.as_str(),
        "sent": {"messages": sent.messages, "bytes": sent.bytes},
        "received": {"messages": received.messages, "bytes": received.bytes},
        "children": children,
    })
}

fn cancel_json(cancel: &CancelView) -> Value {
    let CancelView { at, stream, error, took } = cancel;
    let path: Vec<&str> = error.path().into_iter().flat_map(kerrors::CancelPath::services).collect();
    json!({
        "at_ms": millis(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()),
        "id": id(stream),
        "side": side(stream.side),
        "service": text(&stream.service),
        "method": text(&stream.method),
        "code": error.code().number(),
        "path": path,
        "cause": error.message(),
        "took_us": millis(took.as_micros()),
    })
}

fn id(info: &StreamInfo) -> String {
    format!("{}.{}", info.label.connection, info.label.stream)
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

fn millis(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
        let info = StreamInfo {
            label,
            parent,
            side,
            service: Bytes::new(),
            method: Bytes::new(),
            local,
            peer,
            opened,
        };
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
    fn a_tree_holds_each_stream_below_the_one_that_opened_it() {
        let shapes: Vec<String> = grow(chains(2)).iter().map(shape).collect();
        assert_eq!(shapes, ["1.1(2.1(3.1(4.1())))", "1.2(2.2(3.2(4.2())))"]);
        assert!(grow(Vec::new()).is_empty());
    }

    #[test]
    fn a_tree_of_many_streams_takes_no_time_that_grows_with_their_square() {
        let streams = chains(25_000);
        let began = Instant::now();
        assert_eq!(grow(streams).len(), 25_000);
        // With the square it is 10^10 comparisons: minutes.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
