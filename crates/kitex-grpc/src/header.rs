//! Names and values of headers: what a call starts with, metadata and metainfo, to a header map and back. Owns
//! which name says what; knows nothing of statuses.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Uri, Version};
use stream_core::call::OutgoingCall;
use stream_core::{Metadata, Metainfo, Pair, PayloadCodec};

use crate::timeout;

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub(crate) const BIZ_STATUS: HeaderName = HeaderName::from_static("biz-status");
pub(crate) const BIZ_EXTRA: HeaderName = HeaderName::from_static("biz-extra");
pub(crate) const SOURCE_SERVICE: HeaderName = HeaderName::from_static("source-service");
const SOURCE_METHOD: HeaderName = HeaderName::from_static("source-method");
const DESTINATION_SERVICE: HeaderName = HeaderName::from_static("destination-service");
const DESTINATION_METHOD: HeaderName = HeaderName::from_static("destination-method");

const TRANSIENT_PREFIX: &str = "rpc-transit-";
const PERSISTENT_PREFIX: &str = "rpc-persist-";
const BINARY_SUFFIX: &str = "-bin";

const THRIFT: &str = "application/grpc+thrift";
const PROTOBUF: &str = "application/grpc";
const AGENT: &str = concat!("kitex-grpc-rust/", env!("CARGO_PKG_VERSION"));

/// Headers that belong to the protocol: neither set by users nor shown to them.
const RESERVED: [&str; 10] = [
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
    "grpc-status",
    "grpc-message",
    "grpc-message-type",
    "grpc-status-details-bin",
    "biz-status",
    "biz-extra",
    "te",
];

/// Headers that a user cannot set, though they are shown.
const FIXED: [&str; 7] = [
    "content-type",
    "user-agent",
    "source-service",
    "source-method",
    "destination-service",
    "destination-method",
    "content-length",
];

/// Headers of a connection, which HTTP/2 forbids.
const FORBIDDEN: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host"];

/// Unpadded when written; read with padding too.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns the bytes of a `-bin` value as text.
pub(crate) fn encode_binary(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Returns the bytes that the text of a `-bin` value says; `None` if it is no base64.
pub(crate) fn decode_binary(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Returns the value of `content-type`.
pub(crate) fn content_type(codec: PayloadCodec) -> HeaderValue {
    HeaderValue::from_static(match codec {
        PayloadCodec::Protobuf => PROTOBUF,
        _ => THRIFT,
    })
}

/// Returns the encoding that a `content-type` names; `None` if it is none of gRPC's. Everything but `+thrift` is
/// Protobuf, as for Kitex.
pub(crate) fn codec(content_type: &[u8]) -> Option<PayloadCodec> {
    let subtype = content_type.strip_prefix(PROTOBUF.as_bytes())?;
    match subtype {
        [] | [b'+' | b';', ..] if subtype.starts_with(b"+thrift") => Some(PayloadCodec::Thrift),
        [] | [b'+' | b';', ..] => Some(PayloadCodec::Protobuf),
        _ => None,
    }
}

/// Returns the request that starts `call`; `None` if its names cannot stand in a request.
pub(crate) fn request(call: &OutgoingCall<'_>, left: Option<std::time::Duration>) -> Option<Request<()>> {
    let path = format!("/{}/{}", call.method.service(), call.method.name());
    let uri =
        Uri::builder().scheme("http").authority(authority(call.callee)).path_and_query(path).build().ok()?;
    let mut request = Request::new(());
    *request.method_mut() = HttpMethod::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(call.method.codec()));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(left) = left {
        put(headers, GRPC_TIMEOUT, timeout::encode(left).as_bytes());
    }
    put_names(headers, call);
    put_metadata(headers, call.headers);
    if let Some(Metainfo { persistent, transient }) = call.metainfo {
        put_metainfo(headers, TRANSIENT_PREFIX, transient);
        put_metainfo(headers, PERSISTENT_PREFIX, persistent);
    }
    Some(request)
}

/// Kitex reads the source's name from here, for the text of a cancel.
fn put_names(headers: &mut HeaderMap, call: &OutgoingCall<'_>) {
    put(headers, DESTINATION_SERVICE, call.callee.as_bytes());
    put(headers, DESTINATION_METHOD, call.method.name().as_bytes());
    if !call.caller.is_empty() {
        put(headers, SOURCE_SERVICE, call.caller.as_bytes());
        put(headers, SOURCE_METHOD, b"");
    }
}

/// Returns `name` if it can stand in `:authority`, else a name that can.
fn authority(name: &str) -> &str {
    if name.parse::<http::uri::Authority>().is_ok() { name } else { "localhost" }
}

/// Adds a pair. Drops what no header can say, as Kitex does.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        // The map is full: the peer would refuse so many headers anyway.
        let _ = headers.try_insert(name, value);
    }
}

/// Adds headers of the user's. Keys that no header can have are dropped.
pub(crate) fn put_metadata(headers: &mut HeaderMap, metadata: &Metadata) {
    for (key, value) in metadata.iter() {
        let Ok(name) = HeaderName::from_bytes(key) else { continue };
        let key = name.as_str();
        if RESERVED.contains(&key) || FIXED.contains(&key) || FORBIDDEN.contains(&key) {
            continue;
        }
        if key.ends_with(BINARY_SUFFIX) {
            put(headers, name, encode_binary(value).as_bytes());
        } else {
            put(headers, name, value);
        }
    }
}

/// Adds metainfo, in Kitex's form of keys: lower case, with `-` for `_`.
fn put_metainfo(headers: &mut HeaderMap, prefix: &str, pairs: &[Pair]) {
    for (key, value) in pairs {
        let key: Vec<u8> = key.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
        if let Ok(name) = HeaderName::from_bytes(&[prefix.as_bytes(), &key].concat()) {
            put(headers, name, value);
        }
    }
}

/// Returns what a user sees of headers: all but those of the protocol, `-bin` values decoded.
pub(crate) fn metadata(headers: &HeaderMap) -> Metadata {
    let shown = headers.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    shown
        .map(|(name, value)| (Bytes::copy_from_slice(name.as_str().as_bytes()), plain(name, value)))
        .collect()
}

fn plain(name: &HeaderName, value: &HeaderValue) -> Bytes {
    let bytes = value.as_bytes();
    let binary = name.as_str().ends_with(BINARY_SUFFIX).then(|| decode_binary(bytes)).flatten();
    binary.map_or_else(|| Bytes::copy_from_slice(bytes), Bytes::from)
}

/// Returns the metainfo among headers, in Kitex's form of keys: upper case, with `_` for `-`.
pub(crate) fn metainfo(headers: &HeaderMap) -> Option<Metainfo> {
    let mut metainfo = Metainfo::default();
    for (name, value) in headers {
        let pairs = match name.as_str() {
            name if name.starts_with(TRANSIENT_PREFIX) => &mut metainfo.transient,
            name if name.starts_with(PERSISTENT_PREFIX) => &mut metainfo.persistent,
            _ => continue,
        };
        let key = name.as_str().get(TRANSIENT_PREFIX.len()..).unwrap_or_default();
        let key = key.to_ascii_uppercase().replace('-', "_");
        pairs.push((Bytes::from(key), Bytes::copy_from_slice(value.as_bytes())));
    }
    (!metainfo.is_empty()).then_some(metainfo)
}

/// Returns service and method that a path names: the text after the last `/`, and before it, after the last `.`;
/// `None` if there is no `/`.
pub(crate) fn names(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/').unwrap_or(path).rsplit_once('/')?;
    Some((service.rsplit_once('.').map_or(service, |(_, service)| service), method))
}

/// Marks values that must not stand in the compression table of the connection.
pub(crate) fn hide_secrets(headers: &mut HeaderMap) {
    if let Some(value) = headers.get_mut(AUTHORIZATION) {
        value.set_sensitive(true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use stream_core::{Method, StreamingMode};

    use super::*;

    fn call<'a>(method: &'a Method, caller: &'a Arc<str>, headers: &'a Metadata) -> OutgoingCall<'a> {
        OutgoingCall {
            method,
            callee: "ServiceB",
            caller,
            metainfo: None,
            headers,
            scope: None,
            deadline: None,
            wire_deadline: None,
            recv_timeout: None,
            send_timeout: None,
        }
    }

    fn pair(key: &'static str, value: &'static str) -> Pair {
        (key.into(), value.into())
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
        let call = OutgoingCall { metainfo: Some(&metainfo), ..call(&method, &caller, &headers) };
        let request = request(&call, Some(Duration::from_nanos(97_181_896))).unwrap();
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
            ("source-method", b""),
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
    fn names_and_types_are_read_as_kitex_reads_them() {
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
    fn a_name_that_is_no_authority_is_replaced_and_a_bad_path_is_refused() {
        let (caller, headers) = (Arc::from(""), Metadata::new());
        let method = Method::new("Lab", "Down", StreamingMode::Server);
        let odd = OutgoingCall { callee: "a b", ..call(&method, &caller, &headers) };
        let request = super::request(&odd, None).unwrap();
        assert_eq!(request.uri().authority().unwrap(), "localhost");
        assert!(!request.headers().contains_key(SOURCE_SERVICE), "a caller without a name");
        let method = Method::new("Lab", "Do wn", StreamingMode::Server);
        assert!(super::request(&call(&method, &caller, &headers), None).is_none());
    }

    #[test]
    fn binary_values_are_read_with_and_without_padding() {
        assert_eq!(encode_binary(&[0, 0xff]), "AP8");
        for text in [&b"AP8"[..], b"AP8="] {
            assert_eq!(decode_binary(text), Some(vec![0, 0xff]));
        }
        assert_eq!(decode_binary(b"!"), None);
    }
}
