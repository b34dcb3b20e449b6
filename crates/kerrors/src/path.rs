//! The cancel path: the canceling service, and the services that the cancel passed. Owns its wire form ("A,B,C"),
//! its text ("A -> B -> C") and its bounds.

use std::fmt;

use thiserror::Error;

use crate::text::{lossy, write_escaped};

/// The first name of a path that did not begin with a TTHeader stream, but with a gRPC handler for example.
pub const NON_TTSTREAM_PATH: &str = "non-ttstream path";

const MAX_HOPS: usize = 64;
const MAX_BYTES: usize = 4096;
const ELISION: &str = "...";

/// Service names, the canceling service first. At most 64 names and 4 KiB: the middle of a longer path is omitted, as
/// `first,...,last names`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CancelPath(Box<str>);

impl CancelPath {
    /// Returns a path of one name. With an empty name the path is empty, and is not sent.
    pub fn of(service: &str) -> Self {
        Self(service.into())
    }

    /// Reads the wire form; `None` if it is empty.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        Some(Self(cut(&lossy(bytes))))
    }

    /// Returns the path with one more name at its end. A service without a name adds nothing.
    #[must_use]
    pub fn then(&self, service: &str) -> Self {
        if service.is_empty() || self.0.is_empty() {
            return if service.is_empty() { self.clone() } else { Self::of(service) };
        }
        Self(cut(&format!("{},{service}", self.0)))
    }

    /// Returns the wire form: names separated by commas.
    pub fn as_wire(&self) -> &str {
        &self.0
    }

    /// Returns the names in order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.0.split(',')
    }
}

impl fmt::Display for CancelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, service) in self.services().enumerate() {
            if at > 0 {
                f.write_str(" -> ")?;
            }
            write_escaped(f, service)?;
        }
        Ok(())
    }
}

/// Keeps the first name and as many of the last as the bounds allow.
fn cut(path: &str) -> Box<str> {
    if path.len() <= MAX_BYTES && path.split(',').count() <= MAX_HOPS {
        return path.into();
    }
    let first = floor(path.split(',').next().unwrap_or_default(), MAX_BYTES / 4);
    let tail = path.get(ceil(path, path.len().saturating_sub(MAX_BYTES / 2))..).unwrap_or_default();
    let hops = tail.split(',').count().min(MAX_HOPS - 2);
    let tail = tail.rsplitn(hops.saturating_add(1), ',').take(hops).collect::<Vec<_>>();
    let tail = tail.into_iter().rev().collect::<Vec<_>>().join(",");
    format!("{first},{ELISION},{tail}").into()
}

fn floor(text: &str, at: usize) -> &str {
    (0..=at.min(text.len())).rev().find_map(|at| text.get(..at)).unwrap_or_default()
}

fn ceil(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}

/// A service name that is not valid in a cancel path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "service name {name:?} cannot stand in a cancel path: use 1 to 255 bytes, no comma, no control character"
)]
pub struct BadServiceName {
    name: String,
}

/// Checks the name of a service.
///
/// # Errors
/// [`BadServiceName`] if it is empty, longer than 255 bytes, or has a comma or a control character.
pub fn check_service_name(name: &str) -> Result<(), BadServiceName> {
    let good = (1..=255).contains(&name.len()) && !name.contains(|c: char| c == ',' || c.is_control());
    if good { Ok(()) } else { Err(BadServiceName { name: name.to_owned() }) }
}
