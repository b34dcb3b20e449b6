//! The text and the kind of a gRPC status, and what `Error` says of it.

use std::time::Duration;

use kerrors::{CancelPath, Code, Error, ErrorKind, GrpcStatus, RecvTimeout, Side, StreamError};

#[test]
fn a_status_has_the_text_of_kitex_and_a_kind() {
    let timeout = RecvTimeout::new(Duration::from_millis(100));
    let soft = RecvTimeout { disable_cancel_remote: true, ..timeout };
    let rows = [
        (
            GrpcStatus::new(1, "context canceled"),
            "rpc error: code = 1 desc = context canceled",
            ErrorKind::Canceled,
        ),
        (GrpcStatus::new(4, "late"), "rpc error: code = 4 desc = late", ErrorKind::Timeout),
        (GrpcStatus::new(8, "full"), "rpc error: code = 8 desc = full", ErrorKind::Refused),
        (
            GrpcStatus::new(14, "graceful shutdown"),
            "rpc error: code = 14 desc = graceful shutdown",
            ErrorKind::Refused,
        ),
        (GrpcStatus::new(99, ""), "rpc error: code = 99 desc = ", ErrorKind::Application),
        (GrpcStatus::protocol("odd"), "rpc error: code = 13 desc = odd", ErrorKind::Protocol),
        (
            GrpcStatus::received(5, b"a\nb\xff"),
            "rpc error: code = 5 desc = a\\nb\u{fffd}",
            ErrorKind::Application,
        ),
        (
            GrpcStatus::recv_timeout(timeout),
            "rpc error: code = 17 desc = stream Recv timeout, timeout config={Timeout:100ms DisableCancelRemote:false}",
            ErrorKind::Timeout,
        ),
        (
            GrpcStatus::recv_timeout(soft),
            "rpc error: code = 17 desc = stream Recv timeout, timeout config={Timeout:100ms DisableCancelRemote:true}",
            ErrorKind::Timeout,
        ),
        (
            GrpcStatus::connection_lost(&"127.0.0.1:9", &"EOF peer close"),
            "connection error: desc = \"error reading from server, remoteAddress=127.0.0.1:9, error=EOF peer close\"",
            ErrorKind::Connection,
        ),
    ];
    for (status, text, kind) in rows {
        let retryable = text.contains("DisableCancelRemote:true");
        let error = Error::from(status.clone());
        assert_eq!((error.to_string().as_str(), error.kind()), (text, kind));
        assert_eq!(error.is_canceled(), kind == ErrorKind::Canceled, "{text}");
        assert_eq!(error.is_retryable(), retryable, "{text}");
        let code = i32::try_from(status.code()).map(Code::new).ok();
        assert_eq!((error.grpc_status(), error.code()), (Some(&status), code), "{text}");
        let of_a_call = Error::network(status.clone());
        assert_eq!(of_a_call.to_string(), format!("remote or network error: {text}"));
        assert_eq!((of_a_call.grpc_status(), of_a_call.kind()), (Some(&status), kind), "{text}");
    }
}

#[test]
fn details_are_kept_and_long_messages_are_cut() {
    let status = GrpcStatus::received(5, &vec![b'x'; 10_000]).with_details([1, 2, 3]);
    assert_eq!((status.message().len(), status.details()), (4096, &[1, 2, 3][..]));
    assert!(!status.is_bare() && status.clone().bare().is_bare());
    assert_eq!(Error::other("plain").grpc_status(), None);
}

#[test]
fn an_origin_gives_a_status_code_and_path_and_leaves_text_and_kind() {
    let origin =
        StreamError::received(Side::Server, Code::CANCELED, b"why", Some(CancelPath::of("ServiceA")));
    let plain = GrpcStatus::new(1, "context canceled");
    let status = plain.clone().with_origin(origin.clone());
    for error in [Error::from(status.clone()), Error::network(status.clone())] {
        assert_eq!((error.code(), error.kind()), (Some(Code::CANCELED), ErrorKind::Canceled));
        assert_eq!(error.path().map(ToString::to_string).as_deref(), Some("ServiceA"));
        assert!(error.to_string().ends_with("rpc error: code = 1 desc = context canceled"), "{error}");
    }
    assert_eq!((status.origin(), plain.origin()), (Some(&origin), None));
}
