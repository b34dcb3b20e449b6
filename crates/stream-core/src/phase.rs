//! The phase of a stream's life, as views show it.

use std::time::Duration;

use std::fmt;

/// The phase of a stream's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamPhase {
    /// Both directions are open.
    Open,
    /// The client's direction has ended with its trailer.
    HalfClosed,
    /// The stream has ended for the handles on this side.
    Ended,
}

impl StreamPhase {
    /// Returns `open`, `half closed` or `ended`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::HalfClosed => "half closed",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for StreamPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long after its opening a client's stream counts as lost unread, if its opening was the last that was written and the peer
/// resets the connection. Later, the reset is more likely one of a network, which proves nothing.
pub const UNREAD_FOR: Duration = Duration::from_secs(1);
