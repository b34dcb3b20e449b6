//! Why a connection ends, and the errors that several commands return.

use kerrors::{Code, Side, StreamError};
use thiserror::Error as ThisError;
use ttheader_codec::{DecodeError, EncodeError};

/// A protocol violation that closes the connection.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The bytes are not a frame.
    #[error(transparent)]
    Frame(#[from] DecodeError),
    /// A frame without a stream, on a streaming connection.
    #[error("unexpected header flags: {0}")]
    NotStreaming(u16),
    /// The peer opened a stream that is already open.
    #[error("stream[{0}] already set header")]
    DuplicateStream(i32),
    /// A method's name is too long to be sent back.
    #[error(transparent)]
    Method(#[from] EncodeError),
    /// The connection's receive window is full of messages of streams that have ended.
    #[error("receive budget of the connection is exhausted")]
    BudgetExhausted,
    /// The peer has committed more violations of a kind than a connection survives.
    #[error("too many {0}")]
    TooManyViolations(&'static str),
    /// A frame has begun to arrive, and less than 1 KiB per second of it has arrived in 10 s.
    #[error("a frame arrives too slowly: less than 1 KiB per second")]
    SlowFrame,
}

impl From<&ConnectionError> for StreamError {
    /// Returns the error with which the streams of the connection end.
    fn from(error: &ConnectionError) -> Self {
        let code = match error {
            ConnectionError::Frame(_) | ConnectionError::NotStreaming(_) | ConnectionError::Method(_) => {
                Code::ILLEGAL_FRAME
            }
            ConnectionError::DuplicateStream(_) => Code::UNEXPECTED_HEADER,
            ConnectionError::BudgetExhausted
            | ConnectionError::TooManyViolations(_)
            | ConnectionError::SlowFrame => Code::TRANSPORT_CLOSING,
        };
        Self::new(code).with_cause(error.to_string())
    }
}

/// A command that the stream's state or the codec does not allow.
pub(super) fn illegal_operation(side: Side, cause: &impl ToString) -> StreamError {
    StreamError::new(Code::ILLEGAL_OPERATION).on_side(side).with_cause(cause.to_string())
}

/// Returns the outcome of streams and handles that a handler leaves open when it returns.
pub(crate) fn handler_returned() -> StreamError {
    StreamError::new(Code::HANDLER_RETURNED).on_side(Side::Server)
}
