//! The kind of every error: each code of streams, each gRPC status, each variant of `Error`.

use std::io;
use std::sync::Arc;

use kerrors::ErrorKind::{
    Application, Business, Canceled, Codec, Connection, Panic, Protocol, Refused, Timeout, Unimplemented,
};
use kerrors::{ApplicationException, BizStatusError, Code, Error, ErrorKind, GrpcStatus, Side, StreamError};

/// Checks every question that `Error` answers by its kind and code.
fn check(name: &str, error: &Error, kind: ErrorKind, code: Option<i32>) {
    assert_eq!((error.kind(), error.code().map(Code::number)), (kind, code), "{name}");
    assert_eq!(error.is_canceled(), kind == Canceled, "{name}");
    assert!(!error.message().is_empty() || matches!(error, Error::Grpc(_)), "{name}");
}

#[test]
fn each_code_of_a_stream_has_its_error_kind() {
    let kinds = [
        (12001, Application),
        (12002, Protocol),
        (12003, Protocol),
        (12004, Protocol),
        (12005, Protocol),
        (12006, Connection),
        (12007, Canceled),
        (12008, Canceled),
        (12009, Canceled),
        (12010, Canceled),
        (12011, Canceled),
        (12012, Canceled),
        (12013, Canceled),
        (12014, Timeout),
        (12015, Timeout),
        (12900, Refused),
        (12901, Refused),
        (12903, Refused),
        (12904, Timeout),
        (12905, Timeout),
    ];
    assert_eq!(kinds.map(|(code, _)| Code::new(code)), Code::ALL, "a row for each code");
    for (code, kind) in kinds {
        check("here", &StreamError::new(Code::new(code)).into(), kind, Some(code));
        let received = StreamError::received(Side::Server, Code::new(code), b"why", None);
        check("by an Rst", &received.into(), Canceled, Some(code));
        let exception = ApplicationException::new(code, "");
        check("in an exception", &Error::Remote(exception), kind, None);
    }
}

#[test]
fn each_grpc_status_has_its_error_kind() {
    let kinds = [
        (0, Application),
        (1, Canceled),
        (2, Application),
        (3, Application),
        (4, Timeout),
        (5, Application),
        (6, Application),
        (7, Application),
        (8, Refused),
        (9, Application),
        (10, Application),
        (11, Application),
        (12, Unimplemented),
        (13, Application),
        (14, Refused),
        (15, Application),
        (16, Application),
        (17, Timeout),
        (20, Unimplemented),
        (99, Application),
    ];
    for (code, kind) in kinds {
        let number = Some(i32::try_from(code).unwrap());
        let status = GrpcStatus::received(code, b"why");
        check("a stream", &status.clone().into(), kind, number);
        check("a ping-pong call", &Error::network(status), kind, number);
    }
}

#[test]
fn the_words_of_a_server_refine_the_error_kind_and_those_of_a_handler_do_not() {
    let rows = [
        ("panic: [happened in biz handler, method=A.B, x] y", Panic),
        ("panic: [happened in a layer] y", Panic),
        ("unknown method Down", Unimplemented),
        ("unknown service Lab", Unimplemented),
        ("biz error: unknown method Down", Application),
        ("biz error: panic: [happened in biz handler] y", Application),
    ];
    for (text, kind) in rows {
        check(text, &StreamError::new(Code::APPLICATION).with_cause(text).into(), kind, Some(12001));
        check(text, &Error::Remote(ApplicationException::new(6, text)), kind, None);
        check(text, &GrpcStatus::new(13, text).into(), kind, Some(13));
    }
    // Kitex has the code of a cancel for an unknown method; what a handler says of one has a suffix.
    check("", &GrpcStatus::new(1, "unknown method Down").into(), Unimplemented, Some(1));
    check("", &GrpcStatus::new(1, "unknown method Down [biz error]").into(), Canceled, Some(1));
    // A cause that the canceler chose changes nothing.
    let cause = StreamError::received(Side::Server, Code::CANCELED_WITH_CAUSE, b"unknown method Down", None);
    check("", &cause.into(), Canceled, Some(12008));
}

#[test]
fn each_variant_of_error_has_its_kind() {
    let context = |kind| Error::Context { kind, reason: Arc::new(io::Error::other("context ended")) };
    let connect = Error::Connect { address: "a:1".to_owned(), source: Arc::new(io::Error::other("refused")) };
    let rows = [
        ("a business error", BizStatusError::new(404, "no").into(), Business),
        ("an unknown method", Error::Remote(ApplicationException::unknown_method("Down")), Unimplemented),
        ("an unknown service", Error::Remote(ApplicationException::unknown_service("Lab")), Unimplemented),
        ("no result", Error::missing_result("Down"), Protocol),
        ("a message that the server cannot read", Error::Remote(ApplicationException::new(7, "")), Protocol),
        ("a handler's error", Error::Remote(ApplicationException::new(6, "biz error: x")), Application),
        ("a handler's panic", Error::Remote(ApplicationException::panicked("A.B", "x")), Panic),
        ("no connection", connect, Connection),
        ("a lost connection", Error::network("closed"), Connection),
        ("a lost gRPC connection", GrpcStatus::connection_lost(&"a:1", &"EOF").into(), Connection),
        ("a ping-pong timeout", Error::Timeout("timeout=1s".to_owned()), Timeout),
        ("a message that cannot be decoded", Error::codec("short"), Codec),
        ("a canceled context", context(Canceled), Canceled),
        ("a context whose deadline passed", context(Timeout), Timeout),
        ("an error of a handler's own", Error::other("x"), Application),
        ("a violation of gRPC", GrpcStatus::protocol("odd").into(), Protocol),
    ];
    for (name, error, kind) in rows {
        let code = error.grpc_status().map(|status| i32::try_from(status.code()).unwrap());
        check(name, &error, kind, code);
    }
}

#[test]
fn is_user_cancel_leaves_out_lost_connections_and_timeouts_that_an_rst_reports() {
    let received = |code| Error::from(StreamError::received(Side::Server, code, b"", None));
    let rows: [(Error, bool); 9] = [
        (received(Code::CANCELED), true),
        (StreamError::new(Code::CANCELED_WITH_CAUSE).into(), true),
        (received(Code::INTERNAL_CANCELED), true),
        (received(Code::HANDLER_RETURNED), true),
        (received(Code::CONNECTION_CLOSED), false),
        // A peer's Rst is a cancel by its kind.
        (received(Code::STREAM_TIMEOUT), false),
        (GrpcStatus::new(GrpcStatus::CANCELED, "context canceled").into(), true),
        (GrpcStatus::connection_lost(&"peer", &"EOF").into(), false),
        (BizStatusError::new(1, "no").into(), false),
    ];
    for (error, expected) in rows {
        assert_eq!(error.is_user_cancel(), expected, "{error}");
    }
}
