//! Names of attributes, events and metrics, as Kitex's obs-opentelemetry v0.3.0 has them, and ours beside them.

use opentelemetry::KeyValue;

pub(crate) const SYSTEM: &str = "rpc.system";
pub(crate) const SERVICE: &str = "rpc.service";
pub(crate) const METHOD: &str = "rpc.method";
pub(crate) const PROTOCOL: &str = "request.protocol";
pub(crate) const RECV_SIZE: &str = "kitex.recv_size";
pub(crate) const SEND_SIZE: &str = "kitex.send_size";
pub(crate) const STATUS: &str = "status.code";

pub(crate) const SERVER_DURATION: &str = "rpc.server.duration";
pub(crate) const CLIENT_DURATION: &str = "rpc.client.duration";

/// Events of Kitex, and the level that it gives them.
pub(crate) const CONNECT_START: &str = "client_conn_start";
pub(crate) const CONNECT_FINISH: &str = "client_conn_finish";
pub(crate) const HANDLE_START: &str = "server_handle_start";
pub(crate) const HANDLE_FINISH: &str = "server_handle_finish";

pub(crate) fn event_status() -> Vec<KeyValue> {
    const INFO: i64 = 1;
    vec![KeyValue::new("event.status", INFO)]
}

/// Ours: how a call ended, `ok`, `error` or `canceled`.
pub(crate) const END: &str = "kitex.end";
/// Ours: the first response message was sent or received.
pub(crate) const FIRST_MESSAGE: &str = "first_message";
/// Ours: the call was canceled, with `code`, `path` and `cause`.
pub(crate) const CANCEL: &str = "cancel";

/// What the caller says of itself in transient metainfo, and the attribute that a server's span has for it.
pub(crate) const PEER: [(&str, &str); 3] = [
    ("service.name", "peer.service"),
    ("service.namespace", "peer.service.namespace"),
    ("deployment.environment", "peer.deployment.environment"),
];
