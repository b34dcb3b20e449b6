//! Where a stream is in its life, as views show it.

use std::fmt;

/// Where a stream is in its life.
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
