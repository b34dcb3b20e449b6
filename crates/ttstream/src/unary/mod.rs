//! Ping-pong calls: one request, one response, on connections of their own. On the same port as streams;
//! detected by a connection's first bytes.
//!
//! Knows the envelope of a Thrift message, which contains the method's name; not its body.

mod call;
#[cfg(fuzzing)]
pub mod fuzz;
mod pace;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use call::Calls;
pub(crate) use serve::serve_calls;

/// The protocol of ping-pong calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallProtocol {
    /// TTHeader around a framed Thrift message: with metainfo and business errors.
    #[default]
    Ttheader,
    /// A Thrift message with its length, without metainfo and business errors.
    Framed,
}

impl CallProtocol {
    /// What observers know it by: Kitex's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ttheader => "TTHeader",
            Self::Framed => "Framed",
        }
    }
}
