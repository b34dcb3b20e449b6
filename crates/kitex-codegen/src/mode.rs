//! The streaming mode of a method. Owns its annotation, and refuses what Kitex's own
//! generator refuses.

use crate::ast::Function;

/// The annotation that Kitex reads.
const KEY: &str = "streaming.mode";

/// The directions of streaming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No annotation: one thrift message each way.
    PingPong,
    /// `unary`: the same on TTHeader, a stream on gRPC.
    Unary,
    Client,
    Server,
    Bidirectional,
}

impl Mode {
    /// Returns the mode of `function`, or what is wrong with its annotation and what to do.
    pub(crate) fn of(function: &Function) -> Result<Self, String> {
        let mut modes = function.annotations.all(KEY);
        let Some(mode) = modes.next() else { return Ok(Self::PingPong) };
        if modes.next().is_some() {
            return Err(format!("method `{}` has more than one {KEY}, keep one", function.name));
        }
        match mode {
            "unary" => Ok(Self::Unary),
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "bidirectional" => Ok(Self::Bidirectional),
            other => Err(format!(
                "unknown {KEY} \"{other}\" on method `{}`, use unary, client, server or bidirectional",
                function.name
            )),
        }
    }

    /// Returns whether messages are sent as bare structs in a stream, not as arguments and result of a call.
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Client | Self::Server | Self::Bidirectional)
    }

    /// Returns the variant of the facade's `StreamingMode`.
    pub(crate) fn variant(self) -> &'static str {
        match self {
            Self::PingPong => "PingPong",
            Self::Unary => "Unary",
            Self::Client => "Client",
            Self::Server => "Server",
            Self::Bidirectional => "Bidirectional",
        }
    }
}
