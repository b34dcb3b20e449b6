//! Headers of requests and metadata, as Kitex writes and reads them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use stream_core::StreamingMode;

use super::*;

static CALLEE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("ServiceB"));

fn call<'a>(method: &'a Method, caller: &'a Arc<str>, headers: &'a Metadata) -> OutgoingCall<'a> {
    let mut call = OutgoingCall::new(method, &CALLEE, caller);
    call.headers = headers;
    call
}

fn pair(key: &'static str, value: &'static str) -> Pair {
    (key.into(), value.into())
}

#[test]
fn metainfo_of_a_header_that_comes_twice_is_its_first() {
    let mut headers = HeaderMap::new();
    for (name, value) in [("rpc-persist-k", "first"), ("rpc-persist-k", "last"), ("rpc-transit-t", "x")] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let metainfo = metainfo(&headers).unwrap();
    assert_eq!(metainfo.persistent, [pair("K", "first")]);
    assert_eq!(metainfo.transient, [pair("T", "x")]);
}

#[test]
fn metadata_of_a_header_that_comes_twice_is_its_last() {
    // With a binary header, whose value is decoded, and without.
    for binary in [None, Some(("data-bin", "AP8"))] {
        let mut headers = HeaderMap::new();
        let pairs = [("k", "first"), ("grpc-status", "0"), ("other", "x"), ("k", "last")];
        for (name, value) in pairs.into_iter().chain(binary) {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let plain = [("k", &b"last"[..]), ("other", b"x")];
        let expected: Metadata =
            plain.into_iter().chain(binary.map(|(name, _)| (name, &b"\x00\xff"[..]))).collect();
        assert_eq!(metadata(&headers), expected);
        headers.insert("k", HeaderValue::from_static("last"));
        assert_eq!(metadata(&headers), expected, "without a duplicate");
    }
}

#[test]
fn a_request_has_the_headers_of_kitex() {
    let (method, caller) = (Method::new("Lab", "Down", StreamingMode::Server), Arc::from("ServiceA"));
    let user = [
        ("user-key", &b"uv"[..]),
        ("Upper-Key", b"UV"),
        ("data-bin", b"\x00\xff"),
        ("uni", "é".as_bytes()),
        ("te", b"gzip"),
        ("content-type", b"text/html"),
        ("host", b"x"),
        ("bad key", b"x"),
        ("nl", b"a\nb"),
    ];
    let headers: Metadata = user.into_iter().collect();
    let metainfo = Metainfo {
        transient: vec![
            pair("tk", "tval"),
            pair("under_score", "1"),
            pair("bad key", "1"),
            pair("nl", "a\nb"),
        ],
        persistent: vec![pair("pk", "pval")],
    };
    let mut call = call(&method, &caller, &headers);
    (call.metainfo, call.caller_method) = (Some(&metainfo), "Ask");
    let request = request(&call, Some(Duration::from_nanos(97_181_896)), None).unwrap();
    assert_eq!(request.uri(), "http://ServiceB/Lab/Down");
    let mut found: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    found.sort_unstable();
    let expected: [(&str, &[u8]); 15] = [
        ("content-type", b"application/grpc+thrift"),
        ("data-bin", b"AP8"),
        ("destination-method", b"Down"),
        ("destination-service", b"ServiceB"),
        ("grpc-timeout", b"97181896n"),
        ("rpc-persist-pk", b"pval"),
        ("rpc-transit-tk", b"tval"),
        ("rpc-transit-under-score", b"1"),
        ("source-method", b"Ask"),
        ("source-service", b"ServiceA"),
        ("te", b"trailers"),
        ("uni", "é".as_bytes()),
        ("upper-key", b"UV"),
        ("user-agent", AGENT.as_bytes()),
        ("user-key", b"uv"),
    ];
    assert_eq!(found, expected);

    let metadata = super::metadata(request.headers());
    assert_eq!(metadata.get("data-bin").unwrap(), &b"\x00\xff"[..]);
    assert_eq!((metadata.get("te"), metadata.get("grpc-timeout")), (None, None));
    let metainfo = super::metainfo(request.headers()).unwrap();
    assert_eq!(metainfo.persistent, [pair("PK", "pval")]);
    assert_eq!(metainfo.transient, [pair("TK", "tval"), pair("UNDER_SCORE", "1")]);
}

#[test]
fn encodings_of_messages_are_read_from_headers() {
    let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    };
    assert_eq!(compression(&HeaderMap::new()).ok(), Some(None));
    let rows = [
        ("", Some(None)),
        ("identity", Some(None)),
        ("gzip", Some(Some(Compression::Gzip))),
        ("snappy", None),
    ];
    for (name, expected) in rows {
        let headers = headers(&[("grpc-encoding", name)]);
        assert_eq!(compression(&headers).ok(), expected, "{name}");
    }
    let rows =
        [("gzip", true), ("identity, gzip", true), ("identity,gzip,x", true), ("gzipx", false), ("", false)];
    for (list, expected) in rows {
        let headers = headers(&[("grpc-accept-encoding", list)]);
        assert_eq!(accepts(&headers, Compression::Gzip), expected, "{list}");
    }
}

#[test]
fn a_path_has_the_package_of_the_method_before_its_service() {
    let method = |package| Method::new("Lab", "Down", StreamingMode::Server).with_package(package);
    let rows = [("", "/Lab/Down"), ("lab", "/lab.Lab/Down"), ("a.b.lab", "/a.b.lab.Lab/Down")];
    for (package, expected) in rows {
        assert_eq!(path(&method(package)), expected);
    }
}

#[test]
fn path_and_content_type_are_parsed_as_by_kitex() {
    let paths = [
        ("/lab.Lab/Down", Some(("Lab", "Down"))),
        ("/Lab/Down", Some(("Lab", "Down"))),
        ("/a.b.Lab/Down", Some(("Lab", "Down"))),
        ("/x/lab.Lab/Down", Some(("Lab", "Down"))),
        ("Down", None),
        ("/Down", None),
    ];
    for (path, found) in paths {
        assert_eq!(names(path), found, "{path}");
    }
    let types: [(&[u8], Option<PayloadCodec>); 7] = [
        (b"application/grpc", Some(PayloadCodec::Protobuf)),
        (b"application/grpc+proto", Some(PayloadCodec::Protobuf)),
        (b"application/grpc;charset=x", Some(PayloadCodec::Protobuf)),
        (b"application/grpc+thrift", Some(PayloadCodec::Thrift)),
        (b"application/grpcx", None),
        (b"text/html", None),
        (b"", None),
    ];
    for (value, found) in types {
        assert_eq!(codec(value), found, "{value:?}");
    }
}

#[test]
fn an_invalid_authority_is_replaced_and_an_invalid_path_is_refused() {
    let (caller, headers) = (Arc::from(""), Metadata::new());
    let method = Method::new("Lab", "Down", StreamingMode::Server);
    let callee = Arc::from("a b");
    let mut odd = call(&method, &caller, &headers);
    odd.callee = &callee;
    let request = super::request(&odd, None, None).unwrap();
    assert_eq!(request.uri().authority().unwrap(), "localhost");
    assert!(!request.headers().contains_key(SOURCE_SERVICE), "the caller has no name");
    let method = Method::new("Lab", "Do wn", StreamingMode::Server);
    assert!(super::request(&call(&method, &caller, &headers), None, None).is_none());
}

#[test]
fn binary_headers_are_decoded_with_and_without_padding() {
    assert_eq!(encode_binary(&[0, 0xff]), "AP8");
    for text in [&b"AP8"[..], b"AP8="] {
        assert_eq!(decode_binary(text), Some(vec![0, 0xff]));
    }
    assert_eq!(decode_binary(b"!"), None);
}

#[test]
fn a_header_list_beyond_the_limit_is_refused_here() {
    let headers: HeaderMap = [(TE, HeaderValue::from_static("trailers"))].into_iter().collect();
    assert!(check_size(&headers, 42).is_ok());
    let error = check_size(&headers, 41).unwrap_err();
    assert_eq!(
        error.to_string(),
        "[ttstream error, code=12005] [client-side stream] header list is too large (42 vs. 41)"
    );
}
