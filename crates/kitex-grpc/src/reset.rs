//! Codes of RST_STREAM frames: their names, their statuses at a client, and their texts at a server.

use std::borrow::Cow;

use kerrors::{Code, ErrorKind, GrpcStatus, Side, StreamError};

/// Kitex's own code: graceful shutdown of the server.
pub(crate) const GRACEFUL_SHUTDOWN: u32 = 1000;

const SHUTDOWN_TEXT: &str = "graceful shutdown";

/// Name of the code, and its status at a client.
const TABLE: [(&str, u32); 14] = [
    ("NO_ERROR", GrpcStatus::INTERNAL),
    ("PROTOCOL_ERROR", GrpcStatus::INTERNAL),
    ("INTERNAL_ERROR", GrpcStatus::INTERNAL),
    ("FLOW_CONTROL_ERROR", GrpcStatus::RESOURCE_EXHAUSTED),
    ("SETTINGS_TIMEOUT", GrpcStatus::INTERNAL),
    ("STREAM_CLOSED", GrpcStatus::INTERNAL),
    ("FRAME_SIZE_ERROR", GrpcStatus::INTERNAL),
    ("REFUSED_STREAM", GrpcStatus::UNAVAILABLE),
    ("CANCEL", GrpcStatus::CANCELED),
    ("COMPRESSION_ERROR", GrpcStatus::INTERNAL),
    ("CONNECT_ERROR", GrpcStatus::INTERNAL),
    ("ENHANCE_YOUR_CALM", GrpcStatus::RESOURCE_EXHAUSTED),
    ("INADEQUATE_SECURITY", GrpcStatus::PERMISSION_DENIED),
    ("HTTP_1_1_REQUIRED", GrpcStatus::INTERNAL),
];

fn row(code: u32) -> Option<(&'static str, u32)> {
    usize::try_from(code).ok().and_then(|code| TABLE.get(code)).copied()
}

fn name(code: u32) -> Cow<'static, str> {
    row(code).map_or_else(|| format!("unknown error code {code:#x}").into(), |(name, _)| name.into())
}

/// Returns the status of a stream that is reset by a graceful shutdown of the server.
pub(crate) fn shutdown() -> GrpcStatus {
    GrpcStatus::new(GrpcStatus::UNAVAILABLE, SHUTDOWN_TEXT).with_kind(ErrorKind::Canceled)
}

/// Returns the status of a client's stream that the server has reset. `late`: the client's own deadline has
/// passed.
pub(crate) fn at_client(code: u32, late: bool) -> GrpcStatus {
    if code == GRACEFUL_SHUTDOWN {
        return shutdown();
    }
    let status = match row(code) {
        Some((_, GrpcStatus::CANCELED)) if late => GrpcStatus::DEADLINE_EXCEEDED,
        Some((_, status)) => status,
        None => GrpcStatus::UNKNOWN,
    };
    GrpcStatus::new(status, format!("stream terminated by RST_STREAM with error code: {}", name(code)))
}

/// Returns the status of a server's stream that the client, of service `source`, has reset.
pub(crate) fn at_server(code: u32, source: &str) -> GrpcStatus {
    if code == GRACEFUL_SHUTDOWN {
        return shutdown();
    }
    let name = name(code);
    let text = format!("transport: RSTStream Frame received with error code: {name} [triggered by {source}]");
    GrpcStatus::new(GrpcStatus::CANCELED, text)
}

/// Returns the status of a server's stream whose connection was lost.
pub(crate) fn connection_closed() -> GrpcStatus {
    GrpcStatus::new(GrpcStatus::CANCELED, "transport: connection EOF [triggered by remote service]")
}

/// Returns the status of a server's stream whose handler has returned.
pub(crate) fn handler_returned() -> GrpcStatus {
    GrpcStatus::new(GrpcStatus::CANCELED, "transport: canceled by business handler returning")
}

/// Returns what a Send ends with after this direction has ended.
pub(crate) fn stream_done(side: Side) -> GrpcStatus {
    let origin = StreamError::new(Code::ILLEGAL_OPERATION).on_side(side).with_cause("the stream is done");
    GrpcStatus::protocol("the stream is done").with_origin(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rst_stream_codes_become_kitexs_statuses_at_a_client() {
        let rows = [
            (0, 13, "NO_ERROR"),
            (1, 13, "PROTOCOL_ERROR"),
            (2, 13, "INTERNAL_ERROR"),
            (3, 8, "FLOW_CONTROL_ERROR"),
            (4, 13, "SETTINGS_TIMEOUT"),
            (5, 13, "STREAM_CLOSED"),
            (6, 13, "FRAME_SIZE_ERROR"),
            (7, 14, "REFUSED_STREAM"),
            (8, 1, "CANCEL"),
            (9, 13, "COMPRESSION_ERROR"),
            (10, 13, "CONNECT_ERROR"),
            (11, 8, "ENHANCE_YOUR_CALM"),
            (12, 7, "INADEQUATE_SECURITY"),
            (13, 13, "HTTP_1_1_REQUIRED"),
            (14, 2, "unknown error code 0xe"),
            (12007, 2, "unknown error code 0x2ee7"),
        ];
        for (code, status, name) in rows {
            let text = format!(
                "rpc error: code = {status} desc = stream terminated by RST_STREAM with error code: {name}"
            );
            assert_eq!(at_client(code, false).to_string(), text);
        }
        assert_eq!(at_client(8, true).code(), 4);
        assert_eq!(at_client(1000, true).to_string(), "rpc error: code = 14 desc = graceful shutdown");
    }

    #[test]
    fn rst_stream_text_at_a_server_has_the_code_and_the_source_service() {
        let text = |code, source| at_server(code, source).to_string();
        let start = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code:";
        assert_eq!(text(8, "ServiceA"), format!("{start} CANCEL [triggered by ServiceA]"));
        assert_eq!(text(12007, ""), format!("{start} unknown error code 0x2ee7 [triggered by ]"));
        assert_eq!(text(1000, "A"), "rpc error: code = 14 desc = graceful shutdown");
    }
}
