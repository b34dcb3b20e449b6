//! Statuses of this end: what a canceled scope, a lost connection and a timeout become.

use std::time::Duration;

use kerrors::{GoDuration, GrpcStatus, Kind};
use stream_core::cancel::Reason;
use stream_core::io::Address;

use crate::reset;

/// Returns what a client's stream ends with when its scope is canceled for `reason`.
pub(crate) fn canceled(reason: &Reason) -> GrpcStatus {
    let unexpected = |reason: &Reason| {
        let kind = reason.stream().map_or(Kind::Canceled, |error| match error.kind() {
            Kind::Timeout => Kind::Timeout,
            _ => Kind::Canceled,
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

/// Returns the status of a stream on which a Send has waited for `timeout`.
pub(crate) fn send_timeout(timeout: Duration) -> GrpcStatus {
    let text = format!("stream Send timeout, timeout={}", GoDuration(timeout));
    GrpcStatus::new(GrpcStatus::DEADLINE_EXCEEDED, text)
}

/// Returns what a client's stream ends with when h2 fails it. `late`: the client's own deadline has passed.
pub(crate) fn failed(error: &h2::Error, peer: &Address, late: bool) -> GrpcStatus {
    match error.reason() {
        Some(h2::Reason::PROTOCOL_ERROR) if error.is_reset() && error.is_library() => {
            GrpcStatus::protocol("a HEADERS frame cannot appear in the middle of a stream")
        }
        Some(reason) if error.is_reset() => reset::at_client(reason.into(), late),
        Some(_) if error.is_go_away() && error.is_remote() => {
            GrpcStatus::new(GrpcStatus::UNAVAILABLE, "the connection is draining")
        }
        Some(_) if error.is_go_away() => GrpcStatus::connection_lost(peer, error),
        _ => GrpcStatus::connection_lost(peer, &"EOF peer close"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kerrors::{CancelPath, Code, Side, StreamError};

    use super::*;

    #[test]
    fn a_canceled_scope_becomes_the_status_of_kitex() {
        let tt =
            StreamError::received(Side::Server, Code::CANCELED, b"why", Some(CancelPath::of("ServiceA")));
        let above = reset::at_server(8, "ServiceA");
        let rows = [
            (Reason::Canceled, "rpc error: code = 1 desc = context canceled", Kind::Canceled),
            (
                Reason::Cause(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from("stop"))),
                "rpc error: code = 1 desc = context canceled",
                Kind::Canceled,
            ),
            (Reason::DeadlineExceeded, "rpc error: code = 4 desc = context deadline exceeded", Kind::Timeout),
            (
                Reason::Foreign(Arc::new(above)),
                "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL [triggered by ServiceA]",
                Kind::Canceled,
            ),
            (
                Reason::Stream(tt),
                "rpc error: code = 13 desc = Unexpected error from context packet: [ttstream error, code=12007] \
                 [server-side stream] [canceled path: ServiceA] why",
                Kind::Canceled,
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
