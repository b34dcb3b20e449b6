//! Ping-pong calls: one request, one answer, on a connection of their own. Beside the streams, since a
//! service has both; told apart by a connection's first bytes.
//!
//! Knows the envelope of a Thrift message, since the method's name stands there; not its body.

mod call;
mod serve;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::Error;

pub(crate) use call::Calls;
pub(crate) use serve::serve_calls;

use crate::Metadata;
use crate::cancel::Scope;
use crate::server::{HandlerError, Peer};

/// How a ping-pong call travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallProtocol {
    /// TTHeader around a framed Thrift message: carries metainfo and business errors.
    #[default]
    Ttheader,
    /// A Thrift message behind its length, and nothing else.
    Framed,
}

/// A call that a client makes.
#[derive(Clone)]
pub struct CallRequest<'a> {
    /// How it travels.
    pub protocol: CallProtocol,
    /// The method.
    pub method: &'a str,
    /// Strings of the header: the IDL service's name, metainfo.
    pub metadata: &'a Metadata,
    /// The caller's own service name.
    pub from: &'a Arc<str>,
    /// The callee's service name.
    pub to: &'a Arc<str>,
    /// The struct of the arguments.
    pub body: &'a [u8],
    /// Whether no answer is waited for.
    pub oneway: bool,
    /// What gives the call up when it ends.
    pub scope: Option<&'a Scope>,
    /// When the call is given up.
    pub deadline: Option<Instant>,
}

/// What a call was answered with; nothing, if it is oneway.
#[derive(Clone)]
pub struct CallAnswer {
    /// Strings of the answer's header, however the handler ended.
    pub metadata: Metadata,
    /// The struct of the result, or what the handler ended with.
    pub result: Result<Bytes, Error>,
}

/// A call that a handler serves.
pub struct UnaryCall {
    /// The method's name as the peer wrote it.
    pub method: String,
    /// Strings of the header: the IDL service's name, metainfo. None on a framed call.
    pub metadata: Metadata,
    /// The struct of the arguments.
    pub body: Bytes,
    /// Canceled when the connection closes (unless the call is oneway), and when the handler has returned.
    pub scope: Scope,
    /// How long the caller will wait, if it said so.
    pub timeout: Option<Duration>,
    /// Who calls.
    pub peer: Peer,
}

/// How a handler answers a call.
pub struct UnaryAnswer {
    /// Strings of the answer's header.
    pub metadata: Metadata,
    /// The struct of the result, or why there is none.
    pub result: Result<Bytes, HandlerError>,
}

/// The debug form of each shows how much of a body there is, not what: it may be a secret.
impl fmt::Debug for CallRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRequest")
            .field("protocol", &self.protocol)
            .field("method", &self.method)
            .field("metadata", &self.metadata)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CallAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = self.result.as_ref().map(Bytes::len);
        f.debug_struct("CallAnswer").field("metadata", &self.metadata).field("result", &result).finish()
    }
}

impl fmt::Debug for UnaryCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnaryCall")
            .field("method", &self.method)
            .field("metadata", &self.metadata)
            .field("body", &self.body.len())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UnaryAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = self.result.as_ref().map(Bytes::len);
        f.debug_struct("UnaryAnswer").field("metadata", &self.metadata).field("result", &result).finish()
    }
}
