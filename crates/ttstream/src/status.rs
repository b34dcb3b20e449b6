//! Converts a handler's result to the trailer's strings and payload, and back. Owns which of the two has
//! precedence; the texts are in `kerrors`.

use std::collections::BTreeMap;

use kerrors::{ApplicationException, BizStatusError, Code, Error, Side, StreamError};
#[cfg(feature = "tokio")]
use stream_core::call::HandlerError;
use ttheader_codec::key;

use crate::Metadata;

/// The largest extra of a business error that is read, in bytes.
const MAX_BIZ_EXTRA: usize = 64 * 1024;

/// Returns the outcome that a trailer reports: an exception in its payload, a business error among its
/// strings, or success.
pub(crate) fn from_trailer(side: Side, payload: &[u8], trailer: &Metadata) -> Result<(), Error> {
    if !payload.is_empty() {
        return Err(from_exception(side, payload).into());
    }
    match biz_from(trailer) {
        Ok(None) => Ok(()),
        Ok(Some(biz)) => Err(biz.into()),
        Err(cause) => Err(StreamError::new(Code::ILLEGAL_BIZ_ERROR).on_side(side).with_cause(cause).into()),
    }
}

fn from_exception(side: Side, payload: &[u8]) -> StreamError {
    match ApplicationException::decode(payload) {
        Ok(exception) => StreamError::new(Code::APPLICATION).with_cause(exception.text()).on_side(side),
        Err(error) => StreamError::new(Code::ILLEGAL_FRAME).with_cause(error.to_string()).on_side(side),
    }
}

/// Returns the business error among the strings of a trailer or of a response's header.
///
/// # Errors
/// A text that says what is wrong with it.
pub(crate) fn biz_from(strings: &Metadata) -> Result<Option<BizStatusError>, String> {
    let code = strings.get_str(key::BIZ_STATUS).and_then(|code| code.parse().ok()).unwrap_or(0);
    if code == 0 {
        return Ok(None);
    }
    let text = |key: &[u8]| strings.get(key).map(|value| String::from_utf8_lossy(value).into_owned());
    let extra = match strings.get(key::BIZ_EXTRA) {
        Some(extra) if !extra.is_empty() => read_extra(extra)?,
        _ => BTreeMap::new(),
    };
    Ok(Some(BizStatusError { code, message: text(key::BIZ_MESSAGE).unwrap_or_default(), extra }))
}

fn read_extra(extra: &[u8]) -> Result<BTreeMap<String, String>, String> {
    if extra.len() > MAX_BIZ_EXTRA {
        return Err(format!("malformed header info, extra: {} bytes exceed {MAX_BIZ_EXTRA}", extra.len()));
    }
    serde_json::from_slice(extra).map_err(|error| format!("malformed header info, extra: {error}"))
}

/// Adds a business error to the strings of a trailer or of a response's header.
#[cfg(feature = "tokio")]
fn put_biz(strings: &mut Metadata, biz: &BizStatusError) {
    strings.insert(key::BIZ_STATUS, biz.code.to_string());
    strings.insert(key::BIZ_MESSAGE, biz.message.clone());
    if !biz.extra.is_empty() {
        let extra = biz.extra.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        let extra = serde_json::Value::Object(extra.collect());
        strings.insert(key::BIZ_EXTRA, extra.to_string());
    }
}

/// Returns the exception for `error`. A business error is added to `strings` instead.
#[cfg(feature = "tokio")]
pub(crate) fn into_exception(error: HandlerError, strings: &mut Metadata) -> Option<ApplicationException> {
    match error {
        HandlerError::Refused(exception) => Some(exception),
        HandlerError::Overloaded(overload) => {
            strings.insert(key::OVER_LIMIT, "1");
            let code = Code::TOO_MANY_STREAMS.number();
            Some(ApplicationException::new(code, overload.to_string()))
        }
        HandlerError::Returned(Error::Biz(biz)) => {
            put_biz(strings, &biz);
            None
        }
        HandlerError::Returned(error) => Some(ApplicationException::failed(&error)),
        // A variant added by a later version of `stream-core`.
        _ => Some(ApplicationException::new(ApplicationException::INTERNAL_ERROR, "handler failed")),
    }
}
