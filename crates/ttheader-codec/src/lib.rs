//! Encodes and decodes TTHeader frames, as used by CloudWeGo Kitex.
//!
//! Owns every length, offset and key of the wire format. Uses no streams, Thrift, sockets or clocks. `no_std` with
//! `alloc`, no `unsafe`. No allocation depends on a length from a peer: limits are checked before memory is reserved, and a
//! decoded [`Header`] borrows from the input.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use ttheader_codec::{FrameType, Head, Limits, decode_frame, encode_header, key};
//!
//! let mut wire = BytesMut::new();
//! let ints = [(key::FRAME_TYPE, FrameType::Data.as_bytes()), (key::TO_METHOD, &b"Down"[..])];
//! encode_header(&mut wire, Head::streaming(7), [], ints, 5)?;
//! wire.extend_from_slice(b"hello");
//!
//! let frame = decode_frame(&mut wire, &Limits::default())?.expect("a whole frame");
//! assert_eq!(frame.header().sequence_id, 7);
//! assert_eq!(frame.header().frame_type(), Some(FrameType::Data));
//! assert_eq!(frame.payload, Bytes::from_static(b"hello"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

extern crate alloc;

mod decode;
mod encode;
mod error;
mod frame;
mod info;
pub mod key;

pub use decode::{Limits, Oversize, decode_frame, decode_header, peek_frame, peek_oversize};
pub use encode::{EncodeError, HeaderTemplate, encode_header, encode_header_within};
pub use error::DecodeError;
pub use frame::{Flags, Frame, FrameType, Head, Header, ProtocolId};
pub use info::{Ints, Strings};

/// Bytes of the fixed part of a header: length, magic, flags, sequence id, header size.
pub const PREFIX_LEN: usize = 14;
/// Bytes of the length field, which does not count itself.
pub const LENGTH_LEN: usize = 4;
/// The two bytes at offset 4 that identify the protocol.
pub const MAGIC: u16 = 0x1000;
/// The largest value of the length field that any peer accepts.
pub const MAX_LENGTH: u32 = 0x3FFF_FFFF;
/// The largest header info: a 16-bit count of 4-byte words.
pub const MAX_INFO_LEN: usize = 4 * 0xFFFF;
