//! The phase of a stream's life and its outcome. Owns the transitions; the first outcome stays.

use kerrors::{Error, Side};
use stream_core::StreamPhase;

/// The state of a stream. Only the methods of this type change it.
#[derive(Debug)]
pub(super) struct StreamState(Inner);

/// Errors are boxed: an idle stream has none, and there may be many idle streams.
#[derive(Debug)]
enum Inner {
    Open,
    /// With the outcome of the client's direction: an error was reported by the client's trailer.
    HalfClosed(Result<(), Box<Error>>),
    Ended(Box<Result<(), Error>>),
}

impl StreamState {
    /// Returns the state of a new stream.
    pub(super) fn open() -> Self {
        Self(Inner::Open)
    }

    /// Client: ends the client's direction. Returns whether the state changed, which it does only from open.
    pub(super) fn close_local(&mut self) -> bool {
        self.half_close(Ok(()))
    }

    /// Server: ends the client's direction with `outcome`. Returns whether the state changed, which it does
    /// only from open.
    pub(super) fn close_remote(&mut self, outcome: Result<(), Error>) -> bool {
        self.half_close(outcome)
    }

    fn half_close(&mut self, outcome: Result<(), Error>) -> bool {
        let open = matches!(self.0, Inner::Open);
        if open {
            self.0 = Inner::HalfClosed(outcome.map_err(Box::new));
        }
        open
    }

    /// Ends the stream with `outcome`. Returns `false`, and changes nothing, if it has ended before.
    #[inline]
    pub(super) fn end(&mut self, outcome: Result<(), Error>) -> bool {
        let live = !self.is_ended();
        if live {
            self.0 = Inner::Ended(Box::new(outcome));
        }
        live
    }

    pub(super) fn phase(&self) -> StreamPhase {
        match self.0 {
            Inner::Open => StreamPhase::Open,
            Inner::HalfClosed(_) => StreamPhase::HalfClosed,
            Inner::Ended(_) => StreamPhase::Ended,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.0, Inner::Open)
    }

    pub(super) fn is_half_closed(&self) -> bool {
        matches!(self.0, Inner::HalfClosed(_))
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.0, Inner::Ended(_))
    }

    /// Returns the outcome of the stream; `None` if it has not ended.
    pub(super) fn outcome(&self) -> Option<&Result<(), Error>> {
        match &self.0 {
            Inner::Open | Inner::HalfClosed(_) => None,
            Inner::Ended(outcome) => Some(outcome),
        }
    }

    /// Returns whether `side` may send.
    pub(super) fn can_send(&self, side: Side) -> bool {
        match (&self.0, side) {
            (Inner::Open, _) | (Inner::HalfClosed(_), Side::Server) => true,
            (Inner::HalfClosed(_), _) | (Inner::Ended(_), _) => false,
        }
    }

    /// Returns whether `side` accepts data: not after the client's trailer, not after the end.
    pub(super) fn can_receive(&self, side: Side) -> bool {
        match (&self.0, side) {
            (Inner::Open, _) | (Inner::HalfClosed(_), Side::Client) => true,
            (Inner::HalfClosed(_), _) | (Inner::Ended(_), _) => false,
        }
    }

    /// Returns the outcome of the direction that `side` receives; `None` if more may arrive.
    pub(super) fn receive_outcome(&self, side: Side) -> Option<Result<(), Error>> {
        match (&self.0, side) {
            (Inner::Ended(outcome), _) => Some((**outcome).clone()),
            (Inner::HalfClosed(outcome), Side::Server) => Some(outcome.clone().map_err(|error| *error)),
            (Inner::Open | Inner::HalfClosed(_), _) => None,
        }
    }
}
