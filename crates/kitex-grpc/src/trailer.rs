//! Converts a handler's result to trailers and back. Owns codes, suffixes and the business error.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue};
use kerrors::{ApplicationException, BizStatusError, Code, Error, ErrorKind, GrpcStatus};
use stream_core::call::HandlerError;

use crate::StatusStyle;
use crate::header::{
    BIZ_EXTRA, BIZ_STATUS, GRPC_DETAILS, GRPC_MESSAGE, GRPC_STATUS, decode_binary, encode_binary,
};
use crate::percent;

/// The suffix that Kitex adds to the text of a handler's error.
const SUFFIX: &str = " [biz error]";
/// The largest extra of a business error that is read, in bytes.
const MAX_BIZ_EXTRA: usize = 64 * 1024;
/// The largest message that is sent, in bytes before encoding.
const MAX_MESSAGE: usize = 16 * 1024;

/// Adds the status of a handler's result to its trailers.
pub(crate) fn put_status(trailers: &mut HeaderMap, error: Option<&HandlerError>, style: StatusStyle) {
    let Some(error) = error else { return put(trailers, GrpcStatus::OK, "", &[]) };
    match error {
        HandlerError::Returned(Error::Biz(biz)) => put_biz(trailers, biz),
        HandlerError::Returned(error) => {
            let status = returned(error, style);
            let suffix = if style == StatusStyle::Kitex { SUFFIX } else { "" };
            put(trailers, status.code(), &format!("{}{suffix}", status.message()), status.details());
        }
        HandlerError::Refused(exception) => put_exception(trailers, exception, style),
        // A variant added by a later version of `stream-core`.
        _ => put(trailers, GrpcStatus::INTERNAL, "handler failed", &[]),
    }
}

/// Adds a status without details.
pub(crate) fn put_plain(trailers: &mut HeaderMap, status: &GrpcStatus) {
    put(trailers, status.code(), status.message(), status.details());
}

/// Returns the status of a handler's error: a status is passed on unchanged; everything else is a failure of
/// the handler.
fn returned(error: &Error, style: StatusStyle) -> GrpcStatus {
    match error {
        Error::Grpc(status) if !status.is_bare() => status.clone(),
        Error::Remote(exception) => GrpcStatus::new(code_of(exception, style), exception.text().into_owned()),
        error => GrpcStatus::new(code_of_failure(error, style), error.to_string()),
    }
}

fn code_of_failure(error: &Error, style: StatusStyle) -> u32 {
    match (style, error.kind()) {
        (StatusStyle::Kitex, _) => GrpcStatus::INTERNAL,
        (StatusStyle::Grpc, ErrorKind::Canceled) => GrpcStatus::CANCELED,
        (StatusStyle::Grpc, ErrorKind::Timeout) => GrpcStatus::DEADLINE_EXCEEDED,
        (StatusStyle::Grpc, _) => GrpcStatus::UNKNOWN,
    }
}

/// Returns the status code of an exception. Kitex's exceptions keep their number, except for a failure: `1`
/// for an unknown method, `20` for an unknown service, `7` for a message that cannot be decoded.
fn code_of(exception: &ApplicationException, style: StatusStyle) -> u32 {
    match (style, exception.type_id) {
        (_, code) if Code::new(code) == Code::STREAM_TIMEOUT => GrpcStatus::DEADLINE_EXCEEDED,
        (StatusStyle::Grpc, ApplicationException::UNKNOWN_METHOD | ApplicationException::UNKNOWN_SERVICE) => {
            GrpcStatus::UNIMPLEMENTED
        }
        (StatusStyle::Grpc, _) | (_, ApplicationException::INTERNAL_ERROR) => GrpcStatus::INTERNAL,
        (StatusStyle::Kitex, other) => {
            u32::try_from(other).ok().filter(|code| *code != 0).unwrap_or(GrpcStatus::INTERNAL)
        }
    }
}

fn put_exception(trailers: &mut HeaderMap, exception: &ApplicationException, style: StatusStyle) {
    let is_suffixed =
        style == StatusStyle::Kitex && exception.type_id == ApplicationException::PROTOCOL_ERROR;
    let suffix = if is_suffixed { SUFFIX } else { "" };
    put(trailers, code_of(exception, style), &format!("{}{suffix}", exception.text()), &[]);
}

fn put(trailers: &mut HeaderMap, code: u32, message: &str, details: &[u8]) {
    let cut = (0..=MAX_MESSAGE.min(message.len())).rev().find_map(|end| message.get(..end));
    let message = percent::encode(cut.unwrap_or_default());
    trailers.insert(GRPC_STATUS, HeaderValue::from(code));
    if let Ok(message) = HeaderValue::try_from(message) {
        trailers.insert(GRPC_MESSAGE, message);
    }
    if !details.is_empty()
        && let Ok(details) = HeaderValue::try_from(encode_binary(details))
    {
        trailers.insert(GRPC_DETAILS, details);
    }
}

fn put_biz(trailers: &mut HeaderMap, biz: &BizStatusError) {
    put(trailers, GrpcStatus::INTERNAL, &biz.message, &[]);
    trailers.insert(BIZ_STATUS, HeaderValue::from(biz.code));
    if biz.extra.is_empty() {
        return;
    }
    let extra = biz.extra.iter().map(|(key, value)| (key.clone(), value.clone().into()));
    // JSON does not escape DEL, which is invalid in a header.
    let extra = serde_json::Value::Object(extra.collect()).to_string().replace('\u{7f}', "\\u007f");
    if let Ok(extra) = HeaderValue::try_from(extra.into_bytes()) {
        trailers.insert(BIZ_EXTRA, extra);
    }
}

/// Returns the outcome of a call from its trailers.
///
/// # Errors
/// The status or the business error of the trailers, or an error for an invalid status.
pub(crate) fn outcome(trailers: &HeaderMap) -> Result<(), Error> {
    let Some(code) = trailers.get(GRPC_STATUS) else {
        return Err(GrpcStatus::new(GrpcStatus::UNKNOWN, "").into());
    };
    let Some(code) = number::<u32>(code) else { return Err(malformed("grpc-status", code)) };
    if code == GrpcStatus::OK {
        return Ok(());
    }
    let message = trailers.get(GRPC_MESSAGE).map(|message| percent::decode(message.as_bytes()));
    let message = message.unwrap_or_default();
    if let Some(biz) = trailers.get(BIZ_STATUS) {
        let Some(code) = number(biz) else { return Err(malformed("biz-status", biz)) };
        if code != 0 {
            let extra = trailers.get(BIZ_EXTRA).map(read_extra).transpose()?.unwrap_or_default();
            let message = GrpcStatus::received(0, &message).message().to_owned();
            return Err(BizStatusError { code, message, extra }.into());
        }
    }
    let details = trailers.get(GRPC_DETAILS).and_then(|details| decode_binary(details.as_bytes()));
    Err(GrpcStatus::received(code, &message).with_details(details.unwrap_or_default()).into())
}

fn number<T: std::str::FromStr>(value: &HeaderValue) -> Option<T> {
    std::str::from_utf8(value.as_bytes()).ok()?.parse().ok()
}

fn read_extra(extra: &HeaderValue) -> Result<BTreeMap<String, String>, Error> {
    let bytes = extra.as_bytes();
    if bytes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let read = if bytes.len() <= MAX_BIZ_EXTRA { serde_json::from_slice(bytes).ok() } else { None };
    read.ok_or_else(|| malformed("biz-extra", extra))
}

fn malformed(name: &str, value: &HeaderValue) -> Error {
    let shown: String = String::from_utf8_lossy(value.as_bytes()).chars().take(64).collect();
    let text = format!("transport: malformed {name}: {shown:?}");
    GrpcStatus::new(GrpcStatus::INTERNAL, text).with_kind(ErrorKind::Protocol).into()
}

#[cfg(test)]
mod tests {
    use kerrors::{Code, StreamError};

    use super::*;

    fn returned(error: impl Into<Error>) -> HandlerError {
        HandlerError::Returned(error.into())
    }

    #[test]
    fn trailers_carry_a_handlers_error_with_kitexs_text() {
        let status = |code, text: &'static str| GrpcStatus::new(code, text);
        let exception = ApplicationException::new;
        let lost = GrpcStatus::connection_lost(&"a:1", &"EOF peer close");
        let rows = [
            (
                returned(Error::other("handler failed")),
                "rpc error: code = 13 desc = handler failed [biz error]",
            ),
            (returned(status(5, "nope")), "rpc error: code = 5 desc = nope [biz error]"),
            (returned(status(99, "a\n100%")), "rpc error: code = 99 desc = a\\n100% [biz error]"),
            (
                returned(status(13, "handler failed [biz error]")),
                "rpc error: code = 13 desc = handler failed [biz error] [biz error]",
            ),
            (
                returned(lost),
                "rpc error: code = 13 desc = connection error: desc = \"error reading from server, \
                 remoteAddress=a:1, error=EOF peer close\" [biz error]",
            ),
            (
                returned(StreamError::new(Code::ILLEGAL_FRAME).with_cause("EOF peer close")),
                "rpc error: code = 13 desc = [ttstream error, code=12004] EOF peer close [biz error]",
            ),
            (
                HandlerError::Refused(ApplicationException::unknown_method("Nope")),
                "rpc error: code = 1 desc = unknown method Nope",
            ),
            (
                HandlerError::Refused(ApplicationException::unknown_service("Nope")),
                "rpc error: code = 20 desc = unknown service Nope",
            ),
            (HandlerError::Refused(exception(7, "bad")), "rpc error: code = 7 desc = bad [biz error]"),
            (HandlerError::Refused(exception(6, "panic: x")), "rpc error: code = 13 desc = panic: x"),
            (returned(BizStatusError::new(404, "nö")), "biz error: code=404, msg=nö"),
        ];
        for (error, text) in rows {
            let mut trailers = HeaderMap::new();
            put_status(&mut trailers, Some(&error), StatusStyle::Kitex);
            assert_eq!(outcome(&trailers).unwrap_err().to_string(), text);
        }
        let mut trailers = HeaderMap::new();
        put_status(&mut trailers, None, StatusStyle::Kitex);
        assert_eq!(
            (trailers.len(), &trailers[GRPC_STATUS], &trailers[GRPC_MESSAGE]),
            (2, &"0".parse().unwrap(), &"".parse().unwrap())
        );
        assert!(outcome(&trailers).is_ok());
    }

    #[test]
    fn a_handlers_end_arrives_as_of_grpc_go_where_the_style_says_so() {
        let exception = ApplicationException::new;
        let rows = [
            (returned(Error::other("handler failed")), 2, "handler failed"),
            (returned(GrpcStatus::new(5, "nope")), 5, "nope"),
            (returned(StreamError::new(Code::CANCELED)), 1, "[ttstream error, code=12007]"),
            (returned(Error::Timeout("late".to_owned())), 4, "late"),
            (HandlerError::Refused(ApplicationException::unknown_method("Nope")), 12, "unknown method Nope"),
            (
                HandlerError::Refused(ApplicationException::unknown_service("Nope")),
                12,
                "unknown service Nope",
            ),
            (HandlerError::Refused(exception(7, "bad")), 13, "bad"),
            (HandlerError::Refused(exception(6, "panic: x")), 13, "panic: x"),
        ];
        for (error, code, text) in rows {
            let mut trailers = HeaderMap::new();
            put_status(&mut trailers, Some(&error), StatusStyle::Grpc);
            let outcome = outcome(&trailers).unwrap_err();
            let status = outcome.grpc_status().unwrap();
            assert_eq!(status.code(), code, "{error:?}");
            assert!(status.message().contains(text) && !status.message().contains("[biz error]"), "{status}");
        }
        let mut trailers = HeaderMap::new();
        put_status(&mut trailers, Some(&returned(BizStatusError::new(404, "no"))), StatusStyle::Grpc);
        assert_eq!(outcome(&trailers).unwrap_err().to_string(), "biz error: code=404, msg=no");
    }

    #[test]
    fn trailers_carry_status_details_and_biz_extra() {
        let mut trailers = HeaderMap::new();
        put_status(
            &mut trailers,
            Some(&returned(GrpcStatus::new(5, "nope").with_details([0, 255, 7]))),
            StatusStyle::Kitex,
        );
        assert_eq!(outcome(&trailers).unwrap_err().grpc_status().unwrap().details(), [0, 255, 7]);
        let biz = BizStatusError::new(-1, "").with_extra("k", "é\u{7f}\n\"");
        let mut trailers = HeaderMap::new();
        put_status(&mut trailers, Some(&returned(biz.clone())), StatusStyle::Kitex);
        assert_eq!(trailers[GRPC_STATUS], "13");
        assert_eq!(outcome(&trailers).unwrap_err().biz(), Some(&biz));
    }

    #[test]
    fn malformed_trailers_have_clear_errors() {
        let rows: [(&[(&str, &str)], &str); 7] = [
            (&[], "rpc error: code = 2 desc = "),
            (&[("grpc-status", "x")], "rpc error: code = 13 desc = transport: malformed grpc-status: \"x\""),
            (
                &[("grpc-status", "-1")],
                "rpc error: code = 13 desc = transport: malformed grpc-status: \"-1\"",
            ),
            (
                &[("grpc-status", "13"), ("biz-status", "x")],
                "rpc error: code = 13 desc = transport: malformed biz-status: \"x\"",
            ),
            (
                &[("grpc-status", "13"), ("biz-status", "1"), ("biz-extra", "[]")],
                "rpc error: code = 13 desc = transport: malformed biz-extra: \"[]\"",
            ),
            (&[("grpc-status", "13"), ("biz-status", "0")], "rpc error: code = 13 desc = "),
            (&[("grpc-status", "5"), ("grpc-message", "%zz%2")], "rpc error: code = 5 desc = %zz%2"),
        ];
        for (pairs, text) in rows {
            let pairs = pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()));
            let trailers: HeaderMap = pairs.collect();
            assert_eq!(outcome(&trailers).unwrap_err().to_string(), text);
        }
        let ok: HeaderMap = [("grpc-status", "0"), ("biz-status", "404")]
            .map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect();
        assert!(outcome(&ok).is_ok(), "a business error counts only with a status other than 0");
    }
}
