//! Names and values of headers: converts the head of a call, metadata and metainfo to a header map and back.
//! Owns the meaning of the names; knows nothing of statuses.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Uri, Version};
use kerrors::{Code, Side, StreamError};
use stream_core::call::OutgoingCall;
use stream_core::{Metadata, Metainfo, Method, Pair, PayloadCodec};

use crate::compression::{Compression, UnknownEncoding};
use crate::timeout;

#[cfg(test)]
mod tests;

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(crate) const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
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
const AGENT_NAME: &str = "kitex-grpc-rust/";
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

/// Headers that users see but cannot set.
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

/// More than the protocol's headers of a request: few calls have to grow their map.
const USUAL_HEADERS: usize = 12;

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

/// Returns the bytes of a `-bin` value; `None` if it is not valid base64.
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

/// Returns the encoding of a `content-type`; `None` if it is not one of gRPC's. Everything but `+thrift` is
/// Protobuf, as in Kitex.
pub(crate) fn codec(content_type: &[u8]) -> Option<PayloadCodec> {
    let subtype = content_type.strip_prefix(PROTOBUF.as_bytes())?;
    match subtype {
        [] | [b'+' | b';', ..] if subtype.starts_with(b"+thrift") => Some(PayloadCodec::Thrift),
        [] | [b'+' | b';', ..] => Some(PayloadCodec::Protobuf),
        _ => None,
    }
}

/// Returns the encoding of messages that `grpc-encoding` names; `None` without one.
pub(crate) fn compression(headers: &HeaderMap) -> Result<Option<Compression>, UnknownEncoding> {
    headers.get(GRPC_ENCODING).map_or(Ok(None), |name| Compression::of(name.as_bytes()))
}

/// Returns whether `grpc-accept-encoding` names `compression`, in a list with or without spaces.
pub(crate) fn accepts(headers: &HeaderMap, compression: Compression) -> bool {
    let name = compression.name();
    let lists = headers.get_all(GRPC_ACCEPT_ENCODING).into_iter().map(HeaderValue::as_bytes);
    lists.flat_map(|list| list.split(|byte| *byte == b',')).any(|item| item.trim_ascii() == name.as_bytes())
}

/// Returns the request that starts `call`; `None` if its names are not valid in a request.
pub(crate) fn request(
    call: &OutgoingCall<'_>,
    left: Option<std::time::Duration>,
    compression: Option<Compression>,
) -> Option<Request<()>> {
    let mut uri = uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority(call.callee));
    uri.path_and_query = Some(PathAndQuery::try_from(path(call.method)).ok()?);
    let uri = Uri::from_parts(uri).ok()?;
    let mut request = Request::new(());
    *request.method_mut() = HttpMethod::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.reserve(USUAL_HEADERS);
    headers.insert(CONTENT_TYPE, content_type(call.method.codec()));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    // Never unasked: a Kitex server that knows none of the accepted encodings fails.
    if let Some(compression) = compression {
        headers.insert(GRPC_ENCODING, compression.name());
        headers.insert(GRPC_ACCEPT_ENCODING, compression.name());
    }
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

/// Returns `/package.Service/Method`, or `/Service/Method` without a package.
fn path(method: &Method) -> String {
    let (package, service, name) = (method.package(), method.service(), method.name());
    let dot = if package.is_empty() { "" } else { "." };
    ["/", package, dot, service, "/", name].concat()
}

/// Adds the names of services and methods. Kitex uses the source's name in the text of a cancel.
fn put_names(headers: &mut HeaderMap, call: &OutgoingCall<'_>) {
    put(headers, DESTINATION_SERVICE, call.callee.as_bytes());
    put(headers, DESTINATION_METHOD, call.method.name().as_bytes());
    if !call.caller.is_empty() {
        put(headers, SOURCE_SERVICE, call.caller.as_bytes());
        put(headers, SOURCE_METHOD, call.caller_method.as_bytes());
    }
}

/// Returns `name` if it is valid as `:authority`, else a valid name.
fn authority(name: &str) -> Authority {
    name.parse().unwrap_or(Authority::from_static("localhost"))
}

/// Adds a pair, unless it is not valid as a header, as Kitex does.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        // The map is full: the peer would refuse this many headers anyway.
        let _ = headers.try_insert(name, value);
    }
}

/// Adds the user's headers. Invalid keys are dropped.
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

/// Returns the headers that users see: all but those of the protocol, with `-bin` values decoded.
pub(crate) fn metadata(headers: &HeaderMap) -> Metadata {
    let shown = headers.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let is_binary = |name: &HeaderName| name.as_str().ends_with(BINARY_SUFFIX);
    if headers.len() == headers.keys_len() && !headers.keys().any(is_binary) {
        let pairs: Vec<_> = shown.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
        return Metadata::copied_from(pairs.len(), pairs.into_iter());
    }
    shown
        .map(|(name, value)| (Bytes::copy_from_slice(name.as_str().as_bytes()), plain(name, value)))
        .collect()
}

fn plain(name: &HeaderName, value: &HeaderValue) -> Bytes {
    let bytes = value.as_bytes();
    let binary = name.as_str().ends_with(BINARY_SUFFIX).then(|| decode_binary(bytes)).flatten();
    binary.map_or_else(|| Bytes::copy_from_slice(bytes), Bytes::from)
}

/// Returns the metainfo among headers, in Kitex's form of keys: upper case, with `_` for `-`. Of duplicates the first, as
/// Kitex does.
pub(crate) fn metainfo(headers: &HeaderMap) -> Option<Metainfo> {
    let mut metainfo = Metainfo::default();
    for name in headers.keys() {
        let pairs = match name.as_str() {
            name if name.starts_with(TRANSIENT_PREFIX) => &mut metainfo.transient,
            name if name.starts_with(PERSISTENT_PREFIX) => &mut metainfo.persistent,
            _ => continue,
        };
        let key = name.as_str().get(TRANSIENT_PREFIX.len()..).unwrap_or_default();
        let key = key.to_ascii_uppercase().replace('-', "_");
        let value = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        pairs.push((Bytes::from(key), Bytes::copy_from_slice(value)));
    }
    (!metainfo.is_empty()).then_some(metainfo)
}

/// Returns the service and method of a path: the method follows the last `/`, the service the last `.` before
/// it; `None` if there is no `/`.
pub(crate) fn names(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/').unwrap_or(path).rsplit_once('/')?;
    Some((service.rsplit_once('.').map_or(service, |(_, service)| service), method))
}

/// Returns the bytes of a header list, counted as HTTP/2 does.
pub(crate) fn list_size(headers: &HeaderMap) -> usize {
    let pairs = headers
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()).saturating_add(32));
    pairs.fold(0, usize::saturating_add)
}

/// Checks that a header list is not larger than `limit`, counted as HTTP/2 does: what is larger would cost the whole
/// connection at the peer.
///
/// # Errors
/// Code 12005.
pub(crate) fn check_size(headers: &HeaderMap, limit: u32) -> Result<(), StreamError> {
    let size = list_size(headers);
    if size <= usize::try_from(limit).unwrap_or(usize::MAX) {
        return Ok(());
    }
    let text = format!("header list is too large ({size} vs. {limit})");
    Err(StreamError::new(Code::ILLEGAL_OPERATION).on_side(Side::Client).with_cause(text))
}

/// Returns whether a request is one of this crate's.
pub(crate) fn is_ours(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(AGENT_NAME.as_bytes()))
}

/// Marks values that must not stand in the compression table of the connection.
pub(crate) fn hide_secrets(headers: &mut HeaderMap) {
    if let Some(value) = headers.get_mut(AUTHORIZATION) {
        value.set_sensitive(true);
    }
}
