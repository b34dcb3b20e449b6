//! Where a stream is in its life and how it ended. Owns the transitions; the first outcome stays.

use kerrors::{Error, Side};
use stream_core::StreamPhase;

/// The state of a stream. Only the methods of this type change it.
#[derive(Debug)]
pub(super) struct StreamState(Inner);

/// Errors are boxed: an idle stream has none, and there may be many idle streams.
#[derive(Debug)]
enum Inner {
    Open,
    /// With the outcome of the client's direction: an error is one that the client's trailer reports.
    HalfClosed(Result<(), Box<Error>>),
    Ended(Box<Result<(), Error>>),
}

impl StreamState {
    /// The state of a stream that has just been opened.
    pub(super) fn open() -> Self {
        Self(Inner::Open)
    }

    /// Client: this side has ended its direction. Returns whether the state changed; it does only from open.
    pub(super) fn close_local(&mut self) -> bool {
        self.half_close(Ok(()))
    }

    /// Server: the client has ended its direction with `outcome`. Returns whether the state changed; it does
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

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.0, Inner::Ended(_))
    }

    /// Returns what the stream ended with; `None` if it has not.
    pub(super) fn outcome(&self) -> Option<&Result<(), Error>> {
        match &self.0 {
            Inner::Open | Inner::HalfClosed(_) => None,
            Inner::Ended(outcome) => Some(outcome),
        }
    }

    /// Whether `side` may send.
    pub(super) fn can_send(&self, side: Side) -> bool {
        match (&self.0, side) {
            (Inner::Open, _) | (Inner::HalfClosed(_), Side::Server) => true,
            (Inner::HalfClosed(_), _) | (Inner::Ended(_), _) => false,
        }
    }

    /// Whether data for `side` still means something: not after the client's trailer, not after the end.
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
