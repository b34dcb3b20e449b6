//! The cancellation tree, visible: every open stream of this process as a node below the one that opened
//! it, and the cancels of late. As values, as JSON, and on a small HTTP address (feature `inspect-http`).

#[cfg(feature = "inspect-http")]
mod http;

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use kerrors::Side;
use serde_json::{Value, json};
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

/// Every open stream of this process, as trees. The roots are streams that nobody in this process caused.
pub fn tree() -> Vec<Node> {
    let mut left = streams();
    left.sort_by_key(|stream| stream.info.opened);
    let all = left.clone();
    let (roots, mut left): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|stream| !all.iter().any(|above| is_below(&stream.info, &above.info)));
    roots.into_iter().map(|root| grow(root, &mut left)).collect()
}

fn grow(stream: StreamView, left: &mut Vec<StreamView>) -> Node {
    let (below, rest) =
        std::mem::take(left).into_iter().partition(|other| is_below(&other.info, &stream.info));
    *left = rest;
    let below: Vec<StreamView> = below;
    Node { children: below.into_iter().map(|child| grow(child, left)).collect(), stream }
}

/// Whether `stream` was opened by `above`'s handler, or is the server's end of it.
fn is_below(stream: &StreamInfo, above: &StreamInfo) -> bool {
    let other_end = (stream.side, above.side) == (Side::Server, Side::Client)
        && stream.label.stream == above.label.stream
        && (&stream.local, &stream.peer) == (&above.peer, &above.local);
    stream.parent == Some(above.label) || other_end
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
