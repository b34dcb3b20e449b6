//! The state of the client's end of one stream.

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use kerrors::{Error, Side};
use stream_core::{Metadata, Retryable};
use tokio::task::AbortHandle;

use crate::incoming::{Incoming, Waiting};
use crate::observed::Observed;
use crate::pending::Pending;
use crate::reset;

pub(super) struct State {
    /// `None` once the stream has ended.
    pub(super) send: Option<SendStream<Bytes>>,
    /// Encoded messages that the connection's task is about to pass to h2.
    pub(super) pending: Pending,
    /// The connection's task is woken by the end of this direction. From the first message on.
    pub(super) is_watched: bool,
    /// The connection's task has found that end: a reset, or the loss of the connection.
    pub(super) is_refused: bool,
    /// This direction has ended.
    pub(super) closed: bool,
    pub(super) incoming: ResponseState,
    pub(super) header: Option<Metadata>,
    pub(super) trailer: Option<Metadata>,
    pub(super) end: End,
    pub(super) waiting: Waiting,
    pub(super) timer: Option<AbortHandle>,
    pub(super) observed: Observed,
    /// Whether the stream, once it has ended, may be opened again.
    pub(super) retryable: Retryable,
}

impl State {
    /// Returns the direction to the server.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn open_half(&mut self) -> Result<&mut SendStream<Bytes>, Error> {
        match (self.end.outcome(), &mut self.send, self.closed) {
            (Some(Err(error)), ..) => Err(error.clone()),
            (_, Some(send), false) => Ok(send),
            _ => Err(reset::stream_done(Side::Client).into()),
        }
    }
}

/// The end of a stream. An outcome is final.
pub(super) enum End {
    None,
    /// A Send has returned this as the end of the stream, which Recv has not come to yet.
    Reported(Error),
    Outcome(Result<(), Error>),
}

impl End {
    pub(super) fn outcome(&self) -> Option<&Result<(), Error>> {
        match self {
            Self::Outcome(outcome) => Some(outcome),
            Self::None | Self::Reported(_) => None,
        }
    }

    pub(super) fn is_outcome(&self) -> bool {
        self.outcome().is_some()
    }

    /// A Send returns `error`. Does nothing if there is an outcome.
    pub(super) fn report(&mut self, error: &Error) {
        if !self.is_outcome() {
            *self = Self::Reported(error.clone());
        }
    }
}

/// The state of the direction from the server.
pub(super) enum ResponseState {
    Header(ResponseFuture),
    Messages(Incoming),
    /// All messages are taken.
    Trailers(Incoming),
    Ended,
}
