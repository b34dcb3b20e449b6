//! Whether a stream or call that has failed may be tried again, as far as its transport knows. Whether it then is tried
//! again is up to the client's policy.

/// Whether a stream or ping-pong call that has failed may be tried again on another connection. Decided by its transport:
/// only that knows what was lost and what has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retryable {
    /// No handler can have begun: the peer has refused it, or its connection was lost before the peer has read it.
    Always,
    /// Its connection was lost before anything of a response has arrived: neither a header nor a message nor the end. A
    /// handler may have begun, and may still run.
    IfIdempotent,
    /// Anything else: a response has begun, the peer or its handler has ended it, or this end has (a cancel, a deadline, a
    /// timeout, a violation of the protocol).
    #[default]
    Never,
}
