//! Errors of encoding and decoding, and their texts. Maps none of them to a Kitex code.

use std::fmt;

use faststr::FastStr;
use thiserror::Error;

/// Why bytes are not a valid payload of the expected type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    fault: Fault,
    /// The type that was decoded and the ids of the fields that lead to the fault, if they are few.
    place: Option<FastStr>,
}

/// The exact error of a payload. `at` is an offset in bytes from the start of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The payload is empty: even an empty struct has a stop byte.
    #[error("empty payload, even an empty struct has a stop byte")]
    Empty,
    /// The payload ends before the value does.
    #[error("{wanted} bytes wanted at byte {at}, {left} left")]
    Truncated {
        /// The offset of the value.
        at: usize,
        /// Its size, by its type or by its own length.
        wanted: usize,
        /// The remaining bytes of the payload.
        left: usize,
    },
    /// A length or a count below zero.
    #[error("negative length {length} at byte {at}")]
    NegativeLength {
        /// The offset of the length.
        at: usize,
        /// Its value.
        length: i32,
    },
    /// A container claims more elements than the rest of the payload can hold.
    #[error("{count} elements announced at byte {at}, {left} bytes left")]
    Overcount {
        /// The offset of the count.
        at: usize,
        /// Its value.
        count: usize,
        /// The remaining bytes of the payload.
        left: usize,
    },
    /// Structs and containers nest deeper than [`Limits::depth`](crate::Limits::depth).
    #[error("nested deeper than {limit} levels at byte {at}")]
    TooDeep {
        /// The offset of the level that exceeds the limit.
        at: usize,
        /// The limit.
        limit: usize,
    },
    /// Decoding the nested structs and containers would take too much stack, although
    /// [`Limits::depth`](crate::Limits::depth) allows so many levels.
    #[error("nested too deep for the stack at byte {at}, in {depth} levels")]
    TooMuchStack {
        /// The offset of the level that exceeds the limit.
        at: usize,
        /// The number of levels.
        depth: usize,
    },
    /// Structs and containers would take more memory than [`Limits`](crate::Limits) allow.
    #[error("elements at byte {at} would take more than {limit} bytes of memory")]
    TooMuchMemory {
        /// The offset of the elements.
        at: usize,
        /// The limit for the whole payload.
        limit: usize,
    },
    /// A string that is not UTF-8. Go strings need not be: such fields want the type `binary`.
    #[error("string at byte {at} is not utf-8, declare the field as binary")]
    NotUtf8 {
        /// The offset of the text.
        at: usize,
    },
    /// A type code that Thrift binary does not define, or that no value can have.
    #[error("unknown type {code} at byte {at}")]
    UnknownType {
        /// The offset of the code.
        at: usize,
        /// Its value.
        code: u8,
    },
    /// A call's result with neither a value nor an exception.
    #[error("result has neither a value nor an exception")]
    MissingResult,
    /// A required field is missing.
    #[error("field {field} is required")]
    MissingField {
        /// The field's name in the IDL.
        field: &'static str,
    },
}

impl DecodeError {
    /// Returns what ended the decoding of a `name`; `path` leads there, innermost field first.
    pub(crate) fn new(fault: Fault, name: &str, path: &[i16]) -> Self {
        let place = (1..=8).contains(&path.len()).then(|| {
            let ids: Vec<String> = path.iter().rev().map(ToString::to_string).collect();
            format!("field {} of {name}", ids.join(".")).into()
        });
        Self { fault, place }
    }

    /// Returns the exact error, to branch on.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        Self { fault, place: None }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a value cannot be encoded. Nothing has been written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The value is longer than a Thrift length can express.
    #[error("payload of {size} bytes, thrift binary holds 2147483647 at most")]
    TooLarge {
        /// The size of the value.
        size: usize,
    },
    /// The type's own `encode` returned an error.
    #[error("{0}")]
    Refused(FastStr),
}
