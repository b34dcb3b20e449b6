//! A method of a service as generated code names it.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// How a method's messages flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamingMode {
    /// One request, one answer, no mode in the IDL.
    PingPong,
    /// One request, one answer, `streaming.mode="unary"`: the same on the wire.
    Unary,
    /// A stream of requests, one answer.
    Client,
    /// One request, a stream of answers.
    Server,
    /// Two streams.
    Bidirectional,
}

impl StreamingMode {
    /// Whether it travels on a stream.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Client | Self::Server | Self::Bidirectional)
    }
}

/// A method: of which service, its name, how its messages flow.
pub struct Method {
    /// The service's name in the IDL.
    pub service: &'static str,
    /// The method's name in the IDL.
    pub name: &'static str,
    /// How its messages flow.
    pub mode: StreamingMode,
    /// Whether its call is not answered.
    pub oneway: bool,
    wire: OnceLock<Arc<stream_core::Method>>,
}

impl Method {
    /// For generated code.
    pub const fn new(service: &'static str, name: &'static str, mode: StreamingMode) -> Self {
        Self { service, name, mode, oneway: false, wire: OnceLock::new() }
    }

    /// For generated code: a ping-pong method whose call is not answered.
    pub const fn oneway(service: &'static str, name: &'static str) -> Self {
        Self { service, name, mode: StreamingMode::PingPong, oneway: true, wire: OnceLock::new() }
    }

    /// Its frames, encoded once. `None` if the name is longer than any peer accepts.
    pub(crate) fn wire(&'static self) -> Option<&'static Arc<stream_core::Method>> {
        if let Some(wire) = self.wire.get() {
            return Some(wire);
        }
        let wire = stream_core::Method::new(self.name).ok()?;
        Some(self.wire.get_or_init(|| Arc::new(wire)))
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} ({:?})", self.service, self.name, self.mode)
    }
}
