//! The id of a chain of calls: the trace id of W3C Trace Context, as `traceparent` carries it.

use std::fmt;

use crate::Metainfo;

/// The key of transient metainfo under which a chain id and the caller's span travel, as W3C Trace Context and Kitex's
/// OpenTelemetry middleware have it. A Kitex service passes it on or ignores it.
pub const TRACEPARENT: &str = "traceparent";

/// The id of a chain of calls, the same for every hop: the trace id of W3C Trace Context, not zero.
///
/// `Display` writes it as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId(u128);

impl ChainId {
    /// Returns the id of this number; `None` for zero, which is no id.
    pub const fn new(id: u128) -> Option<Self> {
        if id == 0 { None } else { Some(Self(id)) }
    }

    /// Returns the trace id of a `traceparent` of any version: `00-{32 digits}-{16 digits}-{2 digits}`.
    pub fn from_traceparent(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b'-');
        let (version, id, span) = (parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |part: &[u8], len: usize| part.len() == len && part.iter().all(u8::is_ascii_hexdigit);
        if !is_hex(version, 2) || version.eq_ignore_ascii_case(b"ff") || !is_hex(id, 32) || !is_hex(span, 16)
        {
            return None;
        }
        Self::new(u128::from_str_radix(std::str::from_utf8(id).ok()?, 16).ok()?)
    }

    /// Returns the chain id that metainfo carries.
    pub fn of(metainfo: &Metainfo) -> Option<Self> {
        Self::from_traceparent(metainfo.transient_folded(TRACEPARENT)?)
    }

    /// Returns the number.
    pub const fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainId({self})")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_chain_id_is_read_from_a_traceparent_or_refused() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let rows = [
            (format!("00-{id}-b7ad6b7169203331-01"), true),
            (format!("00-{}-B7AD6B7169203331-01", id.to_uppercase()), true),
            (format!("cc-{id}-b7ad6b7169203331-01-more"), true),
            (format!("ff-{id}-b7ad6b7169203331-01"), false),
            (format!("00-{id}-b7ad-01"), false),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
            (format!("00-{}g-b7ad6b7169203331-01", &id[1..]), false),
            (format!("00-+{}-b7ad6b7169203331-01", &id[1..]), false),
            (id.to_owned(), false),
            (String::new(), false),
        ];
        for (value, read) in rows {
            let found = ChainId::from_traceparent(value.as_bytes()).map(|id| id.to_string());
            assert_eq!(found.as_deref(), read.then_some(id), "{value:?}");
        }
    }
}
