//! The kind of every error, for programs to branch on; the same for every transport.

use std::fmt;

/// The kind of an error. Every [`Error`](crate::Error) has exactly one, the same for TTHeader Streaming, ping-pong
/// calls and gRPC. Branch on the kind, not on the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The handler failed with an error that is not a business error.
    Application,
    /// The service returned a business error: [`Error::biz`](crate::Error::biz) has its code.
    Business,
    /// The handler panicked, or a layer or an observer on this side. Distinguished from
    /// [`Application`](Self::Application) by the text that Kitex sends.
    Panic,
    /// The server has no such service or method.
    Unimplemented,
    /// The call was canceled: by its caller, by the end of the handler that made it, or by a connection that was
    /// closed under a handler.
    Canceled,
    /// A deadline, a Recv timeout, a Send timeout or an idle timeout passed.
    Timeout,
    /// No connection could be established, or it was lost.
    Connection,
    /// The peer, or the caller of this library, violated the protocol.
    Protocol,
    /// A limit of this side or of the peer refused the call or ended it: too many streams, a slow consumer, a graceful
    /// shutdown.
    Refused,
    /// A message could not be encoded or decoded.
    Codec,
}

impl ErrorKind {
    /// Returns the name in snake case, for labels of metrics: `canceled`, `timeout`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Business => "business",
            Self::Panic => "panic",
            Self::Unimplemented => "unimplemented",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Protocol => "protocol",
            Self::Refused => "refused",
            Self::Codec => "codec",
        }
    }

    /// Returns the kind of a failure of kind [`Application`](Self::Application) whose text is `text`. An error returned by
    /// a handler has Kitex's prefix `biz error: ` or its suffix ` [biz error]`, so its text is never mistaken for one of
    /// the server.
    pub(crate) fn of_failure(text: &str) -> Self {
        if text.starts_with("panic: [happened in ") {
            Self::Panic
        } else {
            Self::of_missing(text, Self::Application)
        }
    }

    /// Returns [`Unimplemented`](Self::Unimplemented) if `text` is the error of a server for an unknown method;
    /// else `other`.
    pub(crate) fn of_missing(text: &str, other: Self) -> Self {
        let missing = text.starts_with("unknown method ") || text.starts_with("unknown service ");
        if missing && !text.ends_with(" [biz error]") { Self::Unimplemented } else { other }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
