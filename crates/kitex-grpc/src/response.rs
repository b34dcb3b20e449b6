//! Checks that the header of a response is one of gRPC.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use kerrors::{ErrorKind, GrpcStatus};

use crate::compression::Compression;
use crate::header;

/// Checks that a response is one of gRPC, and returns the encoding of its messages.
///
/// # Errors
/// Kitex's error for a response that is not gRPC.
pub(crate) fn check(status: StatusCode, headers: &HeaderMap) -> Result<Option<Compression>, GrpcStatus> {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type.is_some_and(|value| header::codec(value).is_some()) {
        return header::compression(headers).map_err(|unknown| GrpcStatus::protocol(unknown.text()));
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
    Err(GrpcStatus::new(code_of(status), text).with_kind(ErrorKind::Protocol))
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
    use crate::header::GRPC_ENCODING;

    #[test]
    fn a_non_grpc_response_error_describes_the_response() {
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
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
    }

    #[test]
    fn any_content_subtype_is_accepted_and_no_unknown_grpc_encoding() {
        for content_type in ["application/grpc", "application/grpc+thrift", "application/grpc+json"] {
            let mut headers: HeaderMap =
                [(CONTENT_TYPE, content_type.parse().unwrap())].into_iter().collect();
            assert_eq!(check(StatusCode::OK, &headers), Ok(None));
            headers.insert(GRPC_ENCODING, "identity".parse().unwrap());
            assert_eq!(check(StatusCode::OK, &headers), Ok(None));
            headers.insert(GRPC_ENCODING, "gzip".parse().unwrap());
            assert_eq!(check(StatusCode::OK, &headers), Ok(Some(Compression::Gzip)));
            headers.insert(GRPC_ENCODING, "snappy".parse().unwrap());
            let error = check(StatusCode::OK, &headers).unwrap_err();
            assert_eq!(error.message(), "no kitex compressor registered found for:snappy");
        }
    }
}
