//! The statuses of a canceled scope, a lost connection and a timeout.

use std::io;
use std::time::Duration;

use kerrors::{Code, ErrorKind, GoDuration, GrpcStatus, Side, StreamError};
use stream_core::cancel::Reason;
use stream_core::io::Address;

use crate::message::MessageError;
use crate::reset;

/// Returns the status of a client's stream whose scope was canceled for `reason`.
pub(crate) fn canceled(reason: &Reason) -> GrpcStatus {
    let unexpected = |reason: &Reason| {
        let kind = reason.stream().map_or(ErrorKind::Canceled, |error| match error.kind() {
            ErrorKind::Timeout => ErrorKind::Timeout,
            _ => ErrorKind::Canceled,
        });
        let text = format!("Unexpected error from context packet: {reason}");
        GrpcStatus::new(GrpcStatus::INTERNAL, text).with_kind(kind)
    };
    match reason {
        Reason::Canceled | Reason::Cause(_) => GrpcStatus::new(GrpcStatus::CANCELED, "context canceled"),
        Reason::DeadlineExceeded => deadline_exceeded(),
        Reason::Foreign(cause) => match cause.downcast_ref::<GrpcStatus>() {
            Some(status) => status.clone(),
            None => unexpected(reason),
        },
        _ => unexpected(reason),
    }
}

/// Returns the code of the RST_STREAM frame of a stream that ends with `status` here.
pub(crate) fn reset_code(status: &GrpcStatus) -> h2::Reason {
    let shutdown = reset::shutdown();
    let is_shutdown = (status.code(), status.message()) == (shutdown.code(), shutdown.message());
    if is_shutdown { reset::GRACEFUL_SHUTDOWN.into() } else { h2::Reason::CANCEL }
}

/// Returns the status of a stream whose deadline has passed.
pub(crate) fn deadline_exceeded() -> GrpcStatus {
    GrpcStatus::new(GrpcStatus::DEADLINE_EXCEEDED, "context deadline exceeded")
}

/// Returns the status of a stream on which a Send has timed out after `timeout`.
pub(crate) fn send_timeout(timeout: Duration) -> GrpcStatus {
    let text = format!("stream Send timeout, timeout={}", GoDuration(timeout));
    GrpcStatus::new(GrpcStatus::DEADLINE_EXCEEDED, text)
}

/// Returns the status of a client's stream that failed with an h2 error. `late`: the client's own deadline
/// has passed.
pub(crate) fn failed(error: &h2::Error, peer: &Address, late: bool) -> GrpcStatus {
    match error.reason() {
        Some(h2::Reason::PROTOCOL_ERROR) if error.is_reset() && error.is_library() => {
            GrpcStatus::protocol("a HEADERS frame cannot appear in the middle of a stream")
        }
        Some(reason) if error.is_reset() => reset::at_client(reason.into(), late),
        Some(_) if error.is_go_away() && error.is_remote() => {
            GrpcStatus::new(GrpcStatus::UNAVAILABLE, "the connection is draining")
        }
        Some(_) if error.is_go_away() => lost(peer, error),
        _ => match refused_below(error) {
            Some(error) => lost(peer, error),
            None => lost(peer, &"EOF peer close"),
        },
    }
}

/// Returns the error of a secure layer below HTTP/2 that has refused the connection, or whose peer has: unlike an error of
/// the socket it says what to change.
pub(crate) fn refused_below(error: &h2::Error) -> Option<&io::Error> {
    error.get_io().filter(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// Returns the status of a client's stream whose connection is lost.
pub(crate) fn lost(peer: &Address, error: &dyn std::fmt::Display) -> GrpcStatus {
    let origin = StreamError::new(Code::TRANSPORT_CLOSING).on_side(Side::Client);
    GrpcStatus::connection_lost(peer, error).with_origin(origin)
}

/// Returns the status of a stream on which no message has passed for `timeout`.
pub(crate) fn idle_timeout(timeout: Duration) -> GrpcStatus {
    let text = format!("stream idle timeout, timeout={}", GoDuration(timeout));
    GrpcStatus::new(GrpcStatus::DEADLINE_EXCEEDED, text)
}

/// Returns the status of a Send whose message is refused at `side`.
pub(crate) fn no_memory() -> GrpcStatus {
    GrpcStatus::new(GrpcStatus::RESOURCE_EXHAUSTED, stream_core::memory::NO_MEMORY)
}

pub(crate) fn refused(error: MessageError, side: Side) -> GrpcStatus {
    let origin = StreamError::new(Code::ILLEGAL_OPERATION).on_side(side).with_cause(error.to_string());
    GrpcStatus::from(error).with_origin(origin)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kerrors::CancelPath;

    use super::*;

    #[test]
    fn a_canceled_scope_becomes_kitexs_status() {
        let tt =
            StreamError::received(Side::Server, Code::CANCELED, b"why", Some(CancelPath::of("ServiceA")));
        let above = reset::at_server(8, "ServiceA");
        let rows = [
            (Reason::Canceled, "rpc error: code = 1 desc = context canceled", ErrorKind::Canceled),
            (
                Reason::Cause(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from("stop"))),
                "rpc error: code = 1 desc = context canceled",
                ErrorKind::Canceled,
            ),
            (
                Reason::DeadlineExceeded,
                "rpc error: code = 4 desc = context deadline exceeded",
                ErrorKind::Timeout,
            ),
            (
                Reason::Foreign(Arc::new(above)),
                "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL [triggered by ServiceA]",
                ErrorKind::Canceled,
            ),
            (
                Reason::Stream(tt),
                "rpc error: code = 13 desc = Unexpected error from context packet: [ttstream error, code=12007] \
                 [server-side stream] [canceled path: ServiceA] why",
                ErrorKind::Canceled,
            ),
        ];
        for (reason, text, kind) in rows {
            let status = canceled(&reason);
            assert_eq!((status.to_string().as_str(), status.kind()), (text, kind));
            assert_eq!(reset_code(&status), h2::Reason::CANCEL, "{text}");
        }
        let shutdown = canceled(&Reason::Foreign(Arc::new(reset::shutdown())));
        assert_eq!(reset_code(&shutdown), h2::Reason::from(1000));
    }
}
