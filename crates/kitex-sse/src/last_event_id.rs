//! The id of the last event that a browser has received before it reconnected.

use http::HeaderMap;

/// The value of the header `Last-Event-ID`, if the client sent one: what it received last before it reconnected.
///
/// The stream that it was reading has been canceled since. A handler that can continue a reply does so from this id; one
/// that cannot answers 204, which stops a browser's `EventSource` from reconnecting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastEventId(pub Option<String>);

impl LastEventId {
    /// Reads the header. A value that is not UTF-8, or longer than 1 KiB, counts as none.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let value = headers.get("last-event-id").and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        Self(value.filter(|value| !value.is_empty() && value.len() <= MAX_ID_LEN).map(str::to_owned))
    }

    /// Returns the id as the number that [`Sse::number`](crate::Sse::number) gave the event.
    pub fn number(&self) -> Option<u64> {
        self.0.as_deref()?.parse().ok()
    }
}

const MAX_ID_LEN: usize = 1024;

#[cfg(feature = "axum")]
impl<S: Sync> axum_core::extract::FromRequestParts<S> for LastEventId {
    type Rejection = std::convert::Infallible;

    fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> impl Future<Output = Result<Self, Self::Rejection>> + Send {
        std::future::ready(Ok(Self::from_headers(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::LastEventId;

    #[test]
    fn last_event_id_is_bounded_text() {
        let long = "1".repeat(1025);
        for (value, id) in [
            (&b"7"[..], Some("7")),
            (b"", None),
            (b"\xff", None),
            (long.as_bytes(), None),
            ("雪".as_bytes(), Some("雪")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("last-event-id", HeaderValue::from_bytes(value).unwrap());
            assert_eq!(LastEventId::from_headers(&headers).0.as_deref(), id);
        }
        assert_eq!(LastEventId::from_headers(&HeaderMap::new()), LastEventId(None));
        assert_eq!(LastEventId(Some("7".into())).number(), Some(7));
    }
}
