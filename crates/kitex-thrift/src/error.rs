//! What can be wrong with bytes or values. Owns the faults and their sentences; maps none of them to a Kitex
//! code.

use std::fmt;

use faststr::FastStr;
use thiserror::Error;

/// Why bytes are not the payload that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    fault: Fault,
    /// The type that was decoded and the ids of the fields that lead to the fault, if they are few.
    place: Option<FastStr>,
}

/// What exactly is wrong with a payload. `at` counts bytes from the payload's start.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not one byte: even an empty struct has a stop byte.
    #[error("empty payload, even an empty struct has a stop byte")]
    Empty,
    /// The payload ends before the value does.
    #[error("{wanted} bytes wanted at byte {at}, {left} left")]
    Truncated {
        /// Where the value starts.
        at: usize,
        /// How long it is, by type or by its own length.
        wanted: usize,
        /// What remains of the payload.
        left: usize,
    },
    /// A length or a count below zero.
    #[error("negative length {length} at byte {at}")]
    NegativeLength {
        /// Where the length stands.
        at: usize,
        /// What it says.
        length: i32,
    },
    /// A container announces more elements than the rest of the payload can hold.
    #[error("{count} elements announced at byte {at}, {left} bytes left")]
    Overcount {
        /// Where the count stands.
        at: usize,
        /// What it says.
        count: usize,
        /// What remains of the payload.
        left: usize,
    },
    /// Structs and containers nest deeper than [`Limits::depth`](crate::Limits::depth).
    #[error("nested deeper than {limit} levels at byte {at}")]
    TooDeep {
        /// Where the level too many starts.
        at: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Structs and containers nest so deep that decoding them would take too much stack, although
    /// [`Limits::depth`](crate::Limits::depth) allows as many levels.
    #[error("nested too deep for the stack at byte {at}, in {depth} levels")]
    TooMuchStack {
        /// Where the level too many starts.
        at: usize,
        /// How many levels there were.
        depth: usize,
    },
    /// Structs and containers would take more memory than [`Limits`](crate::Limits) allow.
    #[error("elements at byte {at} would take more than {limit} bytes of memory")]
    TooMuchMemory {
        /// Where the elements start.
        at: usize,
        /// How much is allowed for the whole payload.
        limit: usize,
    },
    /// A string that is not UTF-8. Go strings need not be: such fields want the type `binary`.
    #[error("string at byte {at} is not utf-8, declare the field as binary")]
    NotUtf8 {
        /// Where the text starts.
        at: usize,
    },
    /// A type code that thrift binary does not have, or one that no value can have.
    #[error("unknown type {code} at byte {at}")]
    UnknownType {
        /// Where the code stands.
        at: usize,
        /// What it says.
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
    /// What ended the decoding of a `name`; `path` leads there, innermost field first.
    pub(crate) fn new(fault: Fault, name: &str, path: &[i16]) -> Self {
        let place = (1..=8).contains(&path.len()).then(|| {
            let ids: Vec<String> = path.iter().rev().map(ToString::to_string).collect();
            format!("field {} of {name}", ids.join(".")).into()
        });
        Self { fault, place }
    }

    /// What is wrong, to branch on.
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

/// Why a value cannot become bytes. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Longer than a thrift length can say.
    #[error("payload of {size} bytes, thrift binary holds 2147483647 at most")]
    TooLarge {
        /// What the value would take.
        size: usize,
    },
    /// The type's own `encode` refused.
    #[error("{0}")]
    Refused(FastStr),
}
