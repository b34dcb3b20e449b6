//! The text and the kind of a gRPC status, and what `Error` says of it.

use std::time::Duration;

use kerrors::{Error, GrpcStatus, Kind, RecvTimeout};

#[test]
fn a_status_has_the_text_of_kitex_and_a_kind() {
    let timeout = RecvTimeout::new(Duration::from_millis(100));
    let soft = RecvTimeout { disable_cancel_remote: true, ..timeout };
    let rows = [
        (
            GrpcStatus::new(1, "context canceled"),
            "rpc error: code = 1 desc = context canceled",
            Kind::Canceled,
        ),
        (GrpcStatus::new(4, "late"), "rpc error: code = 4 desc = late", Kind::Timeout),
        (GrpcStatus::new(8, "full"), "rpc error: code = 8 desc = full", Kind::Refused),
        (
            GrpcStatus::new(14, "graceful shutdown"),
            "rpc error: code = 14 desc = graceful shutdown",
            Kind::Refused,
        ),
        (GrpcStatus::new(99, ""), "rpc error: code = 99 desc = ", Kind::Application),
        (GrpcStatus::protocol("odd"), "rpc error: code = 13 desc = odd", Kind::Protocol),
        (GrpcStatus::received(5, b"a\nb\xff"), "rpc error: code = 5 desc = a\\nb\u{fffd}", Kind::Application),
        (
            GrpcStatus::recv_timeout(timeout),
            "rpc error: code = 17 desc = stream Recv timeout, timeout config={Timeout:100ms DisableCancelRemote:false}",
            Kind::Timeout,
        ),
        (
            GrpcStatus::recv_timeout(soft),
            "rpc error: code = 17 desc = stream Recv timeout, timeout config={Timeout:100ms DisableCancelRemote:true}",
            Kind::Timeout,
        ),
        (
            GrpcStatus::connection_lost(&"127.0.0.1:9", &"EOF peer close"),
            "connection error: desc = \"error reading from server, remoteAddress=127.0.0.1:9, error=EOF peer close\"",
            Kind::Protocol,
        ),
    ];
    for (status, text, kind) in rows {
        let retryable = text.contains("DisableCancelRemote:true");
        let error = Error::from(status.clone());
        assert_eq!((error.to_string().as_str(), error.kind()), (text, Some(kind)));
        assert_eq!(error.is_canceled(), kind == Kind::Canceled, "{text}");
        assert_eq!(error.is_retryable(), retryable, "{text}");
        assert_eq!((error.grpc_status(), error.code()), (Some(&status), None), "{text}");
        let of_a_call = Error::network(status.clone());
        assert_eq!(of_a_call.to_string(), format!("remote or network error: {text}"));
        assert_eq!((of_a_call.grpc_status(), of_a_call.kind()), (Some(&status), Some(kind)), "{text}");
    }
}

#[test]
fn details_are_kept_and_long_messages_are_cut() {
    let status = GrpcStatus::received(5, &vec![b'x'; 10_000]).with_details([1, 2, 3]);
    assert_eq!((status.message().len(), status.details()), (4096, &[1, 2, 3][..]));
    assert!(!status.is_bare() && status.clone().bare().is_bare());
    assert_eq!(Error::other("plain").grpc_status(), None);
}
