//! The header of a response, as a client reads it: whether it is one of gRPC at all.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use kerrors::{GrpcStatus, Kind};

use crate::header;
use crate::header::GRPC_ENCODING;

/// Checks that a response is one of gRPC.
///
/// # Errors
/// What Kitex says of a response that is none.
pub(crate) fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), GrpcStatus> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type.is_some_and(|value| header::codec(value).is_some()) {
        return match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"" | b"identity") => Ok(()),
            Some(name) => {
                let name = String::from_utf8_lossy(name.get(..64).unwrap_or(name));
                Err(GrpcStatus::protocol(format!("no kitex compressor registered found for:{name}")))
            }
        };
    }
    let found = match content_type {
        None => "transport: missing content-type field".to_owned(),
        Some(value) => {
            let shown = String::from_utf8_lossy(value.get(..64).unwrap_or(value));
            format!("transport: received the unexpected content-type {shown:?}")
        }
    };
    let reason = status.canonical_reason().unwrap_or_default();
    let text = format!("{reason}: HTTP status code {}; {found}", status.as_u16());
    Err(GrpcStatus::new(code_of(status), text).with_kind(Kind::Protocol))
}

fn code_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 => GrpcStatus::INTERNAL,
        401 => GrpcStatus::UNAUTHENTICATED,
        403 => GrpcStatus::PERMISSION_DENIED,
        404 => 12,
        429 | 502 | 503 | 504 => GrpcStatus::UNAVAILABLE,
        _ => GrpcStatus::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_is_none_of_grpc_says_what_it_is() {
        let html = "transport: received the unexpected content-type \"text/html\"";
        let rows = [
            (200, Some("text/html"), 2, format!("OK: HTTP status code 200; {html}")),
            (404, Some("text/html"), 12, format!("Not Found: HTTP status code 404; {html}")),
            (503, Some("text/html"), 14, format!("Service Unavailable: HTTP status code 503; {html}")),
            (400, Some("text/html"), 13, format!("Bad Request: HTTP status code 400; {html}")),
            (401, Some("text/html"), 16, format!("Unauthorized: HTTP status code 401; {html}")),
            (403, Some("text/html"), 7, format!("Forbidden: HTTP status code 403; {html}")),
            (200, None, 2, "OK: HTTP status code 200; transport: missing content-type field".to_owned()),
        ];
        for (status, content_type, code, text) in rows {
            let mut headers = HeaderMap::new();
            headers.extend(content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap())));
            let error = check(StatusCode::from_u16(status).unwrap(), &headers).unwrap_err();
            assert_eq!((error.code(), error.message()), (code, &*text));
            assert_eq!(error.kind(), Kind::Protocol);
        }
    }

    #[test]
    fn any_subtype_is_accepted_and_an_encoding_is_not() {
        for content_type in ["application/grpc", "application/grpc+thrift", "application/grpc+json"] {
            let mut headers: HeaderMap =
                [(CONTENT_TYPE, content_type.parse().unwrap())].into_iter().collect();
            assert_eq!(check(StatusCode::OK, &headers), Ok(()));
            headers.insert(GRPC_ENCODING, "identity".parse().unwrap());
            assert_eq!(check(StatusCode::OK, &headers), Ok(()));
            headers.insert(GRPC_ENCODING, "snappy".parse().unwrap());
            let error = check(StatusCode::OK, &headers).unwrap_err();
            assert_eq!(error.message(), "no kitex compressor registered found for:snappy");
        }
    }
}
