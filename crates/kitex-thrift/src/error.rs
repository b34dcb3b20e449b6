//! What can be wrong with bytes or values. Owns the faults and their sentences; maps none of them to a Kitex
//! code.

use std::fmt;

use pilota::{
    FastStr,
    thrift::{ApplicationExceptionKind, ThriftException},
};
use thiserror::Error;

/// Where the text of an error is cut off, because a peer decides how deep a chain of field names gets.
const LONGEST_TEXT: usize = 256;

/// Why bytes are not the payload that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    fault: Fault,
    context: Option<FastStr>,
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
    /// The elements of containers would take more memory than [`Limits`](crate::Limits) allow.
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
    /// The bytes are well formed but the IDL wants something else, as a required field that is missing.
    #[error("{0}")]
    Mismatch(FastStr),
}

impl DecodeError {
    /// What a decoder ended with, `fault` being what the reader refused, if it was the reader.
    ///
    /// Generated code puts the struct and the field before the message; that goes into the text while it is
    /// short.
    pub(crate) fn new(fault: Option<Fault>, error: &ThriftException) -> Self {
        let fault = fault.unwrap_or_else(|| Fault::of(error));
        let text = error.message();
        let tells_all = text.len() <= LONGEST_TEXT && text.ends_with(&fault.to_string());
        Self { context: tells_all.then(|| text.clone()), fault }
    }

    /// What is wrong, to branch on.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

impl Fault {
    /// What generated code found, as opposed to the reader.
    fn of(error: &ThriftException) -> Self {
        match error {
            ThriftException::Application(e) if e.kind() == ApplicationExceptionKind::MISSING_RESULT => {
                Self::MissingResult
            }
            other => Self::Mismatch(cause(other.message())),
        }
    }
}

/// What generated code complains of, without the structs and fields that it put before.
fn cause(message: &FastStr) -> FastStr {
    let cause = message.rsplit(", caused by: ").next().unwrap_or(message);
    message.slice_ref(cause)
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        Self { fault, context: None }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.context {
            Some(context) => f.write_str(context),
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
