//! An error of a call as JSON and as an HTTP status.

use http::StatusCode;
use kitex::{CancelPath, Code, Error, ErrorKind, Side};
use serde_json::{Value, json};

/// Returns an error as JSON: `{"code", "kind", "side", "path", "message"}`.
///
/// `code` is the number of the stream error, the gRPC status or the business error, or null. `kind` is that of
/// [`ErrorKind::as_str`].
/// `side` is `client`, `server` or null. `path` lists the services along which a cancel came; it is empty if there was
/// none. `message` is the text without code, side and path.
pub fn error_json(error: &Error) -> Value {
    let path: Vec<&str> = error.path().into_iter().flat_map(CancelPath::services).collect();
    json!({
        "code": code(error),
        "kind": error.kind().as_str(),
        "side": error.side().map(side),
        "path": path,
        "message": error.message(),
    })
}

fn code(error: &Error) -> Option<i32> {
    error.biz().map(|error| error.code).or_else(|| error.code().map(Code::number))
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// Returns the HTTP status for a call that failed before its first message.
///
/// | error | status |
/// |---|---|
/// | business error with a code of 400 to 599 | that code |
/// | no connection or a lost one, or refused by a limit | 503 |
/// | timeout or deadline | 504 |
/// | canceled, protocol, exception or panic of the callee | 502 |
/// | any other, other business errors too | 500 |
///
/// [`Sse::status`](crate::Sse::status) replaces it.
pub fn status_of(error: &Error) -> StatusCode {
    match (error.kind(), error) {
        (ErrorKind::Business, Error::Biz(error)) => business(error.code),
        (ErrorKind::Connection | ErrorKind::Refused, _) => StatusCode::SERVICE_UNAVAILABLE,
        (ErrorKind::Timeout, _) => StatusCode::GATEWAY_TIMEOUT,
        (ErrorKind::Canceled | ErrorKind::Protocol | ErrorKind::Panic, _) => StatusCode::BAD_GATEWAY,
        (
            ErrorKind::Application | ErrorKind::Unimplemented,
            Error::Stream(_) | Error::Grpc(_) | Error::Remote(_),
        ) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn business(code: i32) -> StatusCode {
    let status = u16::try_from(code).ok().filter(|code| (400..600).contains(code));
    status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use kitex::{BizStatusError, CancelPath, Code, GrpcStatus, StreamError};
    use serde_json::json;

    use super::*;

    #[test]
    fn error_json_has_code_kind_side_path_and_message_and_status_of_follows_the_kind() {
        let path = CancelPath::from_wire(b"user,gateway");
        let canceled = StreamError::received(Side::Client, Code::CANCELED_WITH_CAUSE, b"enough", path);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let rows: [(Error, serde_json::Value, u16); 8] = [
            (
                canceled.into(),
                json!({"code": 12008, "kind": "canceled", "side": "client", "path": ["user", "gateway"],
                    "message": "enough"}),
                502,
            ),
            (
                StreamError::new(Code::TOO_MANY_STREAMS).into(),
                json!({"code": 12900, "kind": "refused", "side": null, "path": [],
                    "message": Code::TOO_MANY_STREAMS.message()}),
                503,
            ),
            (
                StreamError::new(Code::STREAM_TIMEOUT).into(),
                json!({"code": 12015, "kind": "timeout", "side": null, "path": [], "message": "stream timeout"}),
                504,
            ),
            (
                GrpcStatus::new(GrpcStatus::INTERNAL, "no").into(),
                json!({"code": 13, "kind": "application", "side": null, "path": [], "message": "no"}),
                502,
            ),
            (
                BizStatusError::new(429, "slow down").into(),
                json!({"code": 429, "kind": "business", "side": null, "path": [], "message": "slow down"}),
                429,
            ),
            (
                BizStatusError::new(7, "no").into(),
                json!({"code": 7, "kind": "business", "side": null, "path": [], "message": "no"}),
                500,
            ),
            (
                Error::Connect { address: "a:1".into(), source: Arc::new(refused) },
                json!({"code": null, "kind": "connection", "side": null, "path": [],
                    "message": "cannot connect to a:1: connection refused"}),
                503,
            ),
            (
                Error::other("no"),
                json!({"code": null, "kind": "application", "side": null, "path": [], "message": "no"}),
                500,
            ),
        ];
        for (error, json, status) in rows {
            assert_eq!((error_json(&error), status_of(&error).as_u16()), (json, status), "{error}");
        }
    }
}
