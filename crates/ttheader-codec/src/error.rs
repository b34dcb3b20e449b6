//! Errors of decoding a frame.

use thiserror::Error;

/// Why bytes are not a frame within the limits. If [`is_over_limit`](DecodeError::is_over_limit) is `false`, the error is
/// fatal for a connection: the start of the next frame is not known.
/// The text has lengths and ids, never a value from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The peer uses another protocol.
    #[error("no TTHeader frame: magic is {found:#06x}, not 0x1000")]
    Magic {
        /// The two bytes at offset 4.
        found: u16,
    },
    /// The length field ends the frame before its header ends.
    #[error("frame of {frame_len} bytes is shorter than its header of {header_len}")]
    HeaderOverrun {
        /// Bytes of the frame according to the length field.
        frame_len: usize,
        /// Bytes of the header according to its size field.
        header_len: usize,
    },
    /// The frame is larger than [`crate::Limits::frame_len`] or than the format allows.
    #[error("frame of {frame_len} bytes exceeds the limit of {limit}")]
    FrameTooLarge {
        /// Bytes of the frame according to the length field.
        frame_len: usize,
        /// The limit.
        limit: usize,
    },
    /// The header is larger than [`crate::Limits::header_len`].
    #[error("header of {header_len} bytes exceeds the limit of {limit}")]
    HeaderTooLarge {
        /// Bytes of the header according to its size field.
        header_len: usize,
        /// The limit.
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
    /// The payload is transformed (for example compressed), which no supported peer does.
    #[error("unsupported transform: {count} transforms named")]
    Transforms {
        /// How many transforms the header names.
        count: u8,
    },
    /// A block of an unknown kind, whose length is unknown too.
    #[error("unknown header block {id:#04x}")]
    UnknownBlock {
        /// The block's id.
        id: u8,
    },
    /// A count or a length exceeds the header.
    #[error("header block runs past the end of the header")]
    BlockOverrun,
    /// More pairs than [`crate::Limits::pairs`].
    #[error("header has more than {limit} pairs")]
    TooManyPairs {
        /// The limit.
        limit: usize,
    },
}

impl DecodeError {
    /// Returns whether the frame exceeds a limit of the reader. If its format is otherwise valid, the reader can skip it:
    /// see [`peek_oversize`](crate::peek_oversize).
    pub const fn is_over_limit(&self) -> bool {
        matches!(self, Self::FrameTooLarge { .. } | Self::HeaderTooLarge { .. } | Self::TooManyPairs { .. })
    }
}
