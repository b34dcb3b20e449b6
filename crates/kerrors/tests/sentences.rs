//! The sentences, character for character as Kitex v0.16.3 prints them.

use std::time::Duration;

use kerrors::{
    ApplicationException, BizStatusError, CancelPath, Code, Error, ErrorKind, ExceptionError, GoDuration,
    NON_TTSTREAM_PATH, RecvTimeout, Side, StreamError, check_service_name,
};

const CANCELED: &str = "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";

#[test]
fn error_texts_are_those_of_kitex() {
    let ms = Duration::from_millis;
    let rows: Vec<(StreamError, ErrorKind, String)> = vec![
        (StreamError::new(Code::CANCELED).on_side(Side::Client), ErrorKind::Canceled, format!("[ttstream error, code=12007] [client-side stream] {CANCELED}")),
        (
            StreamError::received(Side::Server, Code::new(12007), CANCELED.as_bytes(), CancelPath::from_wire(b"ServiceA")),
            ErrorKind::Canceled,
            format!("[ttstream error, code=12007] [server-side stream] [canceled path: ServiceA] {CANCELED}"),
        ),
        (
            StreamError::received(Side::Server, Code::new(12015), b"stream timeout, timeout in ctx: 99.703303ms", CancelPath::from_wire(b"A,B,C")),
            ErrorKind::Canceled,
            "[ttstream error, code=12015] [server-side stream] [canceled path: A -> B -> C] stream timeout, timeout in ctx: 99.703303ms".into(),
        ),
        (StreamError::stream_timeout(Some(Duration::from_nanos(199_950_000))), ErrorKind::Timeout, "[ttstream error, code=12015] [client-side stream] stream timeout, timeout in ctx: 199.95ms".into()),
        (StreamError::stream_timeout(None), ErrorKind::Timeout, "[ttstream error, code=12015] [client-side stream] stream timeout, no explicit timeout set in stream ctx".into()),
        (StreamError::recv_timeout(Side::Client, RecvTimeout::new(ms(100))), ErrorKind::Timeout, "[ttstream error, code=12014] [client-side stream] stream Recv timeout, timeout config={Timeout:100ms DisableCancelRemote:false}".into()),
        (
            StreamError::new(Code::ILLEGAL_OPERATION).on_side(Side::Client).with_cause("stream is closed send"),
            ErrorKind::Protocol,
            "[ttstream error, code=12005] [client-side stream] stream is closed send".into(),
        ),
        (
            StreamError::new(Code::APPLICATION).on_side(Side::Client).with_cause("biz error: handler failed"),
            ErrorKind::Application,
            "[ttstream error, code=12001] [client-side stream] biz error: handler failed".into(),
        ),
        (StreamError::new(Code::HANDLER_RETURNED).on_side(Side::Server), ErrorKind::Canceled, "[ttstream error, code=12012] [server-side stream] canceled by business handler returning".into()),
        (StreamError::new(Code::CONNECTION_CLOSED), ErrorKind::Canceled, "[ttstream error, code=12013] canceled by connection closed".into()),
        (
            StreamError::new(Code::INTERNAL_CANCELED).on_side(Side::Client).with_path(CancelPath::of(NON_TTSTREAM_PATH).then("ServiceB")),
            ErrorKind::Canceled,
            "[ttstream error, code=12011] [client-side stream] [canceled path: non-ttstream path -> ServiceB] internal canceled".into(),
        ),
        (
            StreamError::received(Side::Client, Code::new(-5), b"forged\n[ttstream error, code=1]\x1b", CancelPath::from_wire(b"A\r\nB")),
            ErrorKind::Canceled,
            "[ttstream error, code=-5] [client-side stream] [canceled path: A\\r\\nB] forged\\n[ttstream error, code=1]\\u{1b}".into(),
        ),
    ];
    for (error, kind, text) in rows {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), kind, "{text}");
        assert_eq!(error.is_canceled(), kind == ErrorKind::Canceled);
    }
}

#[test]
fn every_code_has_a_text_and_a_kind() {
    let numbers: Vec<i32> = Code::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(numbers, (12001..=12015).chain([12900, 12901, 12903, 12904, 12905]).collect::<Vec<_>>());
    for code in Code::ALL {
        assert!(!code.message().is_empty());
        assert_eq!(StreamError::new(*code).kind(), code.kind());
    }
    assert_eq!(Code::new(99).message(), "");
}

#[test]
fn durations_are_formatted_as_by_go() {
    let rows: &[(u64, &str)] = &[
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1_000, "1µs"),
        (1_500, "1.5µs"),
        (999_999, "999.999µs"),
        (1_000_000, "1ms"),
        (1_500_000, "1.5ms"),
        (99_703_303, "99.703303ms"),
        (199_950_123, "199.950123ms"),
        (1_000_000_000, "1s"),
        (1_000_000_001, "1.000000001s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (129_600_000_000_001, "36h0m0.000000001s"),
    ];
    for (nanos, text) in rows {
        assert_eq!(GoDuration(Duration::from_nanos(*nanos)).to_string(), *text);
    }
}

#[test]
fn cancel_path_grows_by_one_name_per_hop_within_its_bounds() {
    let chain = CancelPath::of("ServiceA").then("ServiceB").then("ServiceC");
    assert_eq!(chain.as_wire(), "ServiceA,ServiceB,ServiceC");
    assert_eq!(chain.to_string(), "ServiceA -> ServiceB -> ServiceC");
    assert_eq!(CancelPath::from_wire(b""), None);

    let mut long = CancelPath::of("first");
    for hop in 0..200 {
        long = long.then(&format!("s{hop}"));
        assert!(long.services().count() <= 64);
    }
    let names: Vec<_> = long.services().collect();
    assert_eq!((names[0], names[1], *names.last().unwrap()), ("first", "...", "s199"));

    for hostile in
        [vec![b'a'; 65_535], vec![b','; 65_535], "é".repeat(32_000).into_bytes(), vec![0xff; 65_535]]
    {
        let path = CancelPath::from_wire(&hostile).unwrap().then("ServiceB");
        assert!(path.as_wire().len() <= 4096, "{}", path.as_wire().len());
        assert!(path.services().count() <= 64);
        assert!(path.as_wire().ends_with(",ServiceB"));
    }
}

#[test]
fn cancel_path_refuses_unfit_service_names() {
    for good in ["ServiceA", "a.b.c", "サービス"] {
        check_service_name(good).unwrap();
    }
    for bad in ["", "a,b", "a\nb", &"x".repeat(256)] {
        assert!(check_service_name(bad).unwrap_err().to_string().contains("no comma"), "{bad}");
    }
}

#[test]
fn exception_round_trips() {
    let recorded = "8001000300000004446f776e000000010b00010000000568656c6c6f08000200002ee700";
    let bytes: Vec<u8> = (0..recorded.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&recorded[at..at + 2], 16).unwrap())
        .collect();
    let exception = ApplicationException::new(12007, "hello");
    assert_eq!(exception.encode("Down", 1), bytes);
    assert_eq!(ApplicationException::decode(&bytes), Ok(exception));
    for end in 0..bytes.len() {
        assert_eq!(
            ApplicationException::decode(&bytes[..end]),
            Err(ExceptionError::Truncated),
            "cut at {end}"
        );
    }
}

#[test]
fn malformed_exception_is_refused() {
    let field = |body: &[u8]| {
        let mut bytes = ApplicationException::new(0, "").encode("m", 1)[..13].to_vec();
        bytes.extend_from_slice(body);
        ApplicationException::decode(&bytes)
    };
    let mut deep = [12, 0, 9].repeat(100_000);
    deep.push(0);
    let rows: Vec<(&str, Result<ApplicationException, ExceptionError>, ExceptionError)> = vec![
        (
            "reply",
            ApplicationException::decode(&[0x80, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0]),
            ExceptionError::NotAnException(kerrors::MessageKind::Reply),
        ),
        (
            "framed",
            ApplicationException::decode(&[0, 0, 0, 9, 0x80, 1, 0, 3]),
            ExceptionError::Version { found: 0 },
        ),
        ("kind", ApplicationException::decode(&[0x80, 1, 0, 9]), ExceptionError::UnknownKind { found: 9 }),
        ("negative length", field(&[11, 0, 1, 0xff, 0xff, 0xff, 0xff]), ExceptionError::Truncated),
        ("huge length", field(&[11, 0, 1, 0x7f, 0xff, 0xff, 0xff]), ExceptionError::Truncated),
        ("huge list", field(&[15, 0, 9, 2, 0x7f, 0xff, 0xff, 0xff]), ExceptionError::Truncated),
        ("unknown type", field(&[5, 0, 9, 0]), ExceptionError::UnknownType(5)),
        ("depth", field(&deep), ExceptionError::TooDeep),
    ];
    for (name, result, expected) in rows {
        assert_eq!(result, Err(expected), "{name}");
    }
    let skipped =
        field(&[13, 0, 9, 11, 8, 0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 7, 8, 0, 2, 0, 0, 0, 6, 0]).unwrap();
    assert_eq!(skipped.to_string(), "unknown internal error");
}

#[test]
fn error_kind_and_code_work_for_every_error() {
    let canceled = StreamError::received(Side::Server, Code::CANCELED, b"x", CancelPath::from_wire(b"A"));
    let error = Error::from(canceled);
    assert!(error.is_canceled());
    assert_eq!((error.code(), error.kind()), (Some(Code::CANCELED), ErrorKind::Canceled));
    assert_eq!(error.path().unwrap().to_string(), "A");

    let biz = Error::from(BizStatusError::new(404, "biz says no").with_extra("k", "v"));
    assert_eq!(biz.to_string(), "biz error: code=404, msg=biz says no");
    assert_eq!(biz.biz().unwrap().extra["k"], "v");
    assert!(!biz.is_canceled());

    let remote = Error::Remote(ApplicationException::new(6, "biz error: handler failed"));
    assert_eq!(remote.to_string(), "remote or network error[remote]: biz error: handler failed");
}
