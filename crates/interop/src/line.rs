//! The lines that `lab-peer` prints: one JSON object each, keys in order, flushed at once.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kitex::{Code, Error, ErrorKind, Metadata};
use serde_json::{Value, json};

use crate::lab::Resp;

/// Prints one line.
pub fn print(line: &Value) {
    let line = format!("{line}\n");
    let mut out = std::io::stdout().lock();
    // The reader has closed the pipe: ignored.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Returns the nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Prints the line of a handler that has ended.
pub fn print_server(service: &str, method: &str, error: Option<&Error>, messages: u64) {
    let (err, kind) =
        error.map_or((String::new(), "other".to_owned()), |error| (error.to_string(), kind(error)));
    print(&json!({
        "ev": "server", "svc": service, "m": method, "err": err, "kind": kind, "n": messages, "ts": now(),
    }));
}

/// Returns a message as a line shows it.
pub fn message(resp: &Resp) -> Value {
    json!({
        "msg": resp.msg.as_deref().unwrap_or_default(),
        "seq": resp.seq.unwrap_or_default(),
        "payload": STANDARD.encode(resp.payload.as_deref().unwrap_or_default()),
    })
}

/// Returns header or trailer as a line shows it.
pub fn strings(metadata: Option<&Metadata>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match metadata {
        Some(metadata) if !metadata.is_empty() => {
            Value::Object(metadata.iter().map(|(key, value)| (text(key), text(value).into())).collect())
        }
        _ => Value::Null,
    }
}

/// Returns the kind of an error, as Kitex programs distinguish them.
pub fn kind(error: &Error) -> String {
    if let Some(biz) = error.biz() {
        let extra = biz.extra.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>();
        return format!("biz({},{},map[{}])", biz.code, biz.message, extra.join(" "));
    }
    // Kitex sorts errors of TTHeader streams alone: of gRPC its users compare status codes.
    let Some(error) = error.stream() else { return "other".to_owned() };
    let kind = match (error.kind(), error.code()) {
        (ErrorKind::Canceled, _) | (_, Code::SLOW_CONSUMER) => "canceled",
        (ErrorKind::Timeout, _) => "timeout",
        // A lost connection (12006) is a protocol error there.
        (ErrorKind::Protocol | ErrorKind::Connection, _) => "protocol",
        _ => "other",
    };
    kind.to_owned()
}
