//! Ping-pong calls: one request, one response, on a connection of their own. Beside the streams, since a
//! service has both; recognized by a connection's first bytes.
//!
//! Knows the envelope of a Thrift message, since it holds the method's name; not its body.

mod call;
mod serve;
mod wire;

pub(crate) use call::Calls;
pub(crate) use serve::serve_calls;

/// How a ping-pong call travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallProtocol {
    /// TTHeader around a framed Thrift message: carries metainfo and business errors.
    #[default]
    Ttheader,
    /// A Thrift message behind its length, and nothing else.
    Framed,
}
