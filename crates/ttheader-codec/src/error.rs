//! What can be wrong with bytes that should be a frame. Knows nothing of how they are read.

use thiserror::Error;

/// Why bytes are no frame, or none within the limits. Where [`is_over_limit`](DecodeError::is_over_limit) is
/// `false` this is fatal for a connection: where the next frame starts is not known.
/// The text carries lengths and ids, never a value of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The peer speaks something else.
    #[error("no TTHeader frame: magic is {found:#06x}, not 0x1000")]
    Magic {
        /// The two bytes at offset 4.
        found: u16,
    },
    /// The length field ends the frame before its header ends.
    #[error("frame of {frame_len} bytes is shorter than its header of {header_len}")]
    HeaderOverrun {
        /// Bytes of the frame as the length field says.
        frame_len: usize,
        /// Bytes of the header as its size field says.
        header_len: usize,
    },
    /// The frame is larger than [`crate::Limits::frame_len`] or than the format allows.
    #[error("frame of {frame_len} bytes exceeds the limit of {limit}")]
    FrameTooLarge {
        /// Bytes of the frame as the length field says.
        frame_len: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The header is larger than [`crate::Limits::header_len`].
    #[error("header of {header_len} bytes exceeds the limit of {limit}")]
    HeaderTooLarge {
        /// Bytes of the header as its size field says.
        header_len: usize,
        /// The limit in force.
        limit: usize,
    },
    /// The header has no room for its protocol id.
    #[error("header info is empty")]
    HeaderEmpty,
    /// The payload's encoding is not known.
    #[error("unknown protocol id {id:#04x}")]
    UnknownProtocol {
        /// The byte at offset 14.
        id: u8,
    },
    /// The payload is transformed (compressed, for one), which no peer of ours does.
    #[error("unsupported transform: {count} transforms named")]
    Transforms {
        /// How many transforms the header names.
        count: u8,
    },
    /// A block of an unknown kind, so its length is unknown too.
    #[error("unknown header block {id:#04x}")]
    UnknownBlock {
        /// The block's id.
        id: u8,
    },
    /// A count or a length leads past the header's end.
    #[error("header block runs past the end of the header")]
    BlockOverrun,
    /// More pairs than [`crate::Limits::pairs`].
    #[error("header has more than {limit} pairs")]
    TooManyPairs {
        /// The limit in force.
        limit: usize,
    },
}

impl DecodeError {
    /// Returns whether the frame exceeds a limit of the reader. If it keeps the format otherwise, the reader
    /// can pass over it: see [`peek_oversize`](crate::peek_oversize).
    pub const fn is_over_limit(&self) -> bool {
        matches!(self, Self::FrameTooLarge { .. } | Self::HeaderTooLarge { .. } | Self::TooManyPairs { .. })
    }
}
