//! Why a stream ended: code, kind, side, path and message, and the text they form.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::text::{bounded, write_escaped};
use crate::{CancelPath, Code, ErrorKind, GoDuration, RecvTimeout};

/// The end of a stream at which an error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that opened the stream.
    Client,
    /// The end whose handler serves the stream.
    Server,
}

/// Why a stream ended. A clone is cheap: a cascade gives one reason to many streams.
///
/// Its text is
/// `[ttstream error, code=N] [client-side stream] [canceled path: A -> B] message`, with side and path if known. Control
/// characters from a peer are escaped.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamError(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    code: Code,
    kind: ErrorKind,
    side: Option<Side>,
    path: Option<CancelPath>,
    message: Cow<'static, str>,
    retryable: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StreamError {
    /// Returns an error that occurs on this side, with the code's own text.
    pub fn new(code: Code) -> Self {
        Self(Arc::new(Parts {
            code,
            kind: code.kind(),
            side: None,
            path: None,
            message: Cow::Borrowed(code.message()),
            retryable: false,
            source: None,
        }))
    }

    /// What an Rst frame brought. `side` is the receiver's; the kind is always [`ErrorKind::Canceled`].
    pub fn received(side: Side, code: Code, message: &[u8], path: Option<CancelPath>) -> Self {
        Self::new(code).with_cause(bounded(message)).map(|parts| {
            parts.kind = ErrorKind::Canceled;
            parts.side = Some(side);
            parts.path = path;
        })
    }

    /// Returns [`Code::RECV_TIMEOUT`]: no message was received within the Recv timeout.
    pub fn recv_timeout(side: Side, config: RecvTimeout) -> Self {
        let text = format!("{}, timeout config={config}", Code::RECV_TIMEOUT.message());
        Self::new(Code::RECV_TIMEOUT).with_cause(text).map(|parts| {
            parts.side = Some(side);
            parts.retryable = config.disable_cancel_remote;
        })
    }

    /// Returns [`Code::SEND_TIMEOUT`]: a message could not be queued within the Send timeout.
    pub fn send_timeout(side: Side, timeout: Duration) -> Self {
        let text = format!("{}, timeout={}", Code::SEND_TIMEOUT.message(), GoDuration(timeout));
        Self::new(Code::SEND_TIMEOUT).with_cause(text).on_side(side)
    }

    /// Returns [`Code::IDLE_TIMEOUT`]: no message was sent or received for this long.
    pub fn idle_timeout(side: Side, timeout: Duration) -> Self {
        let text = format!("{}, timeout={}", Code::IDLE_TIMEOUT.message(), GoDuration(timeout));
        Self::new(Code::IDLE_TIMEOUT).with_cause(text).on_side(side)
    }

    /// Returns [`Code::STREAM_TIMEOUT`]: the deadline of the caller's context passed. `timeout` is the time that was left
    /// when the stream was opened.
    pub fn stream_timeout(timeout: Option<Duration>) -> Self {
        let sentence = Code::STREAM_TIMEOUT.message();
        let text = match timeout {
            Some(timeout) => format!("{sentence}, timeout in ctx: {}", GoDuration(timeout)),
            None => format!("{sentence}, no explicit timeout set in stream ctx"),
        };
        Self::new(Code::STREAM_TIMEOUT).with_cause(text).on_side(Side::Client)
    }

    /// Returns the same error as seen at `side`.
    #[must_use]
    pub fn on_side(self, side: Side) -> Self {
        self.map(|parts| parts.side = Some(side))
    }

    /// Returns the same error with a cancel path.
    #[must_use]
    pub fn with_path(self, path: CancelPath) -> Self {
        self.map(|parts| parts.path = Some(path))
    }

    /// Returns the same error with `cause` instead of the code's own text.
    #[must_use]
    pub fn with_cause(self, cause: impl Into<String>) -> Self {
        self.map(|parts| parts.message = Cow::Owned(cause.into()))
    }

    /// Returns the same error with `source` instead of the code's own text, and as its
    /// [`source`](Error::source).
    #[must_use]
    pub fn with_source(self, source: Arc<dyn Error + Send + Sync>) -> Self {
        self.map(|parts| {
            parts.message = Cow::Owned(source.to_string());
            parts.source = Some(source);
        })
    }

    /// Returns the code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the kind, on which a program should branch.
    pub fn kind(&self) -> ErrorKind {
        match self.0.kind {
            ErrorKind::Application => ErrorKind::of_failure(&self.0.message),
            kind => kind,
        }
    }

    /// Returns the end at which the error occurred, if known.
    pub fn side(&self) -> Option<Side> {
        self.0.side
    }

    /// Returns the cancel path, if the peer sent one.
    pub fn path(&self) -> Option<&CancelPath> {
        self.0.path.as_ref()
    }

    /// Returns the text without code, side and path, as sent on the wire.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns whether the stream was canceled.
    pub fn is_canceled(&self) -> bool {
        self.kind() == ErrorKind::Canceled
    }

    /// Returns whether the stream is still open and Recv may be called again.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    fn map(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl PartialEq for Parts {
    /// The source is left out: it is the message, kept for downcasts.
    fn eq(&self, other: &Self) -> bool {
        let seen = |parts: &Self| (parts.code, parts.kind, parts.side, parts.retryable);
        seen(self) == seen(other) && self.path == other.path && self.message == other.message
    }
}

impl Eq for Parts {}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[ttstream error, code={}] ", self.0.code)?;
        match self.0.side {
            Some(Side::Client) => f.write_str("[client-side stream] ")?,
            Some(Side::Server) => f.write_str("[server-side stream] ")?,
            None => {}
        }
        if let Some(path) = &self.0.path {
            write!(f, "[canceled path: {path}] ")?;
        }
        write_escaped(f, &self.0.message)
    }
}

impl fmt::Debug for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamError")
            .field("code", &self.0.code)
            .field("kind", &self.kind())
            .field("side", &self.0.side)
            .field("path", &self.0.path.as_ref().map(CancelPath::as_wire))
            .field("message", &self.0.message)
            .finish_non_exhaustive()
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
