//! Why a connection ends, and the errors that several commands return.

use kerrors::{Code, Side, StreamError};
use thiserror::Error as ThisError;
use ttheader_codec::{DecodeError, EncodeError};

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The bytes are no frame.
    #[error(transparent)]
    Frame(#[from] DecodeError),
    /// A frame that belongs to no stream, on a connection of streams.
    #[error("unexpected header flags: {0}")]
    NotStreaming(u16),
    /// The peer opened a stream that is open.
    #[error("stream[{0}] already set header")]
    DuplicateStream(i32),
    /// A method's name is longer than can be repeated.
    #[error(transparent)]
    Method(#[from] EncodeError),
    /// The connection's receive window is filled by streams that have ended.
    #[error("receive budget of the connection is exhausted")]
    BudgetExhausted,
}

impl From<&ConnectionError> for StreamError {
    /// Returns the error with which the streams of the connection end.
    fn from(error: &ConnectionError) -> Self {
        let code = match error {
            ConnectionError::Frame(_) | ConnectionError::NotStreaming(_) | ConnectionError::Method(_) => {
                Code::ILLEGAL_FRAME
            }
            ConnectionError::DuplicateStream(_) => Code::UNEXPECTED_HEADER,
            ConnectionError::BudgetExhausted => Code::TRANSPORT_CLOSING,
        };
        Self::new(code).with_cause(error.to_string())
    }
}

/// A command that the stream's state or the codec does not allow.
pub(super) fn illegal_operation(side: Side, cause: &impl ToString) -> StreamError {
    StreamError::new(Code::ILLEGAL_OPERATION).on_side(side).with_cause(cause.to_string())
}

/// The outcome of everything that a handler leaves behind when it returns.
pub(crate) fn handler_returned() -> StreamError {
    StreamError::new(Code::HANDLER_RETURNED).on_side(Side::Server)
}
