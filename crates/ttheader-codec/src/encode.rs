//! Writes headers. Owns the order of the blocks (ACL token, strings, ints: as Kitex writes them) and
//! every check of a length before the first byte; does not interpret keys.

use alloc::boxed::Box;

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use crate::decode::Limits;
use crate::frame::{Head, ProtocolId};
use crate::info::{ACL_BLOCK, INT_BLOCK, STRING_BLOCK};
use crate::{LENGTH_LEN, MAGIC, MAX_INFO_LEN, MAX_LENGTH, PREFIX_LEN, key};

/// Why a header cannot be written. No byte has been written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A key or a value is longer than 65,535 bytes.
    #[error("header key or value of {len} bytes exceeds 65535: send large values in a message")]
    ValueTooLarge {
        /// Its size in bytes.
        len: usize,
    },
    /// More than 65,535 pairs in one block.
    #[error("header has more than 65535 pairs: send large sets in a message")]
    TooManyPairs,
    /// The header info is longer than 262,140 bytes.
    #[error("header of {len} bytes exceeds 262140: send large values in a message")]
    HeaderTooLarge {
        /// Its size in bytes.
        len: usize,
    },
    /// The frame is longer than the format allows.
    #[error("frame of {len} bytes exceeds 1073741827: split the message")]
    FrameTooLarge {
        /// Its size in bytes.
        len: usize,
    },
    /// The frame is longer than [`Limits::frame_len`].
    #[error("frame of {len} bytes exceeds the limit of {limit}: split the message")]
    FrameOverLimit {
        /// Its size in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The header is longer than [`Limits::header_len`].
    #[error("header of {len} bytes exceeds the limit of {limit}: send large values in a message")]
    HeaderOverLimit {
        /// Its size in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The header has more pairs than [`Limits::pairs`].
    #[error("header of {count} pairs exceeds the limit of {limit}: send large sets in a message")]
    PairsOverLimit {
        /// Its pairs, of all blocks.
        count: usize,
        /// The limit.
        limit: usize,
    },
}

/// Appends the header of a frame with `payload_len` bytes of payload to `out`, and returns the header's length. Only the
/// limits of the format apply: see [`encode_header_within`].
///
/// The string [`key::ACL_TOKEN`] is written to a separate block, as every peer expects.
///
/// # Errors
/// [`EncodeError`]; then `out` is unchanged.
pub fn encode_header<'k, S, I>(
    out: &mut BytesMut,
    head: Head,
    strings: S,
    ints: I,
    payload_len: usize,
) -> Result<usize, EncodeError>
where
    S: IntoIterator<Item = (&'k [u8], &'k [u8])>,
    S::IntoIter: Clone,
    I: IntoIterator<Item = (u16, &'k [u8])>,
    I::IntoIter: Clone,
{
    encode_header_within(&Limits::FORMAT, out, head, strings, ints, payload_len)
}

/// Appends a header like [`encode_header`], and refuses frames that a reader with these `limits` would refuse.
///
/// # Errors
/// [`EncodeError`]; then `out` is unchanged.
pub fn encode_header_within<'k, S, I>(
    limits: &Limits,
    out: &mut BytesMut,
    head: Head,
    strings: S,
    ints: I,
    payload_len: usize,
) -> Result<usize, EncodeError>
where
    S: IntoIterator<Item = (&'k [u8], &'k [u8])>,
    S::IntoIter: Clone,
    I: IntoIterator<Item = (u16, &'k [u8])>,
    I::IntoIter: Clone,
{
    let (strings, ints) = (strings.into_iter(), ints.into_iter());
    let plan = Plan::measure(strings.clone(), ints.clone())?;
    let words = plan.words()?;
    let header_len = usize::from(words).saturating_mul(4).saturating_add(PREFIX_LEN);
    let length = frame_length(header_len, payload_len)?;
    plan.check_pairs(limits)?;
    check_header(header_len, limits)?;
    check_frame(header_len.saturating_add(payload_len), limits.frame_len)?;

    out.reserve(header_len);
    out.put_u32(length);
    put_fixed(out, head, words);
    plan.write(out, strings, ints);
    Ok(header_len)
}

/// The header of every data frame of a method, encoded once; only the stream id and the lengths differ.
#[derive(Clone, Debug)]
pub struct HeaderTemplate {
    /// The complete header of a frame without a payload and with another id.
    bytes: Box<[u8]>,
}

impl HeaderTemplate {
    /// Encodes the header once.
    ///
    /// # Errors
    /// As [`encode_header`].
    pub fn new<'k, I>(head: Head, ints: I) -> Result<Self, EncodeError>
    where
        I: IntoIterator<Item = (u16, &'k [u8])>,
        I::IntoIter: Clone,
    {
        let mut bytes = BytesMut::new();
        let header_len = encode_header(&mut bytes, head, [], ints, 0)?;
        debug_assert_eq!(header_len, bytes.len(), "a header is all that was written");
        Ok(Self { bytes: bytes.as_ref().into() })
    }

    /// Returns the size of the header in bytes.
    pub fn header_len(&self) -> usize {
        self.bytes.len()
    }

    /// Checks that a payload of `payload_len` bytes fits into a frame, so that a later [`write`](Self::write) of it cannot
    /// fail.
    ///
    /// # Errors
    /// [`EncodeError::FrameTooLarge`].
    pub fn check(&self, payload_len: usize) -> Result<(), EncodeError> {
        frame_length(self.header_len(), payload_len).map(drop)
    }

    /// Checks a payload like [`check`](Self::check), for a peer that accepts frames of at most `frame_len` bytes.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`EncodeError::FrameOverLimit`].
    pub fn check_within(&self, payload_len: usize, frame_len: usize) -> Result<(), EncodeError> {
        check_frame(self.header_len().saturating_add(payload_len), frame_len)?;
        self.check(payload_len)
    }

    /// Checks the header itself against the limits of a peer.
    ///
    /// # Errors
    /// [`EncodeError::HeaderOverLimit`].
    pub fn check_header(&self, limits: &Limits) -> Result<(), EncodeError> {
        check_header(self.header_len(), limits)
    }

    /// Appends the header of one frame with `payload_len` bytes of payload to `out`.
    ///
    /// # Errors
    /// [`EncodeError::FrameTooLarge`]; then `out` is unchanged.
    pub fn write(&self, sequence_id: i32, payload_len: usize, out: &mut BytesMut) -> Result<(), EncodeError> {
        let length = frame_length(self.header_len(), payload_len)?;
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        // The parts that differ between frames: the length at the start, and the id after magic and flags.
        if let Some([l0, l1, l2, l3, _, _, _, _, s0, s1, s2, s3, ..]) = out.get_mut(at..) {
            [*l0, *l1, *l2, *l3] = length.to_be_bytes();
            [*s0, *s1, *s2, *s3] = sequence_id.to_be_bytes();
        }
        Ok(())
    }
}

fn put_fixed(out: &mut BytesMut, head: Head, words: u16) {
    out.put_u16(MAGIC);
    out.put_u16(head.flags.bits());
    out.put_i32(head.sequence_id);
    out.put_u16(words);
    out.put_u8(ProtocolId::as_u8(head.protocol_id));
    out.put_u8(0);
}

fn frame_length(header_len: usize, payload_len: usize) -> Result<u32, EncodeError> {
    let len = header_len.saturating_add(payload_len);
    u32::try_from(len.saturating_sub(LENGTH_LEN))
        .ok()
        .filter(|&length| length <= MAX_LENGTH)
        .ok_or(EncodeError::FrameTooLarge { len })
}

fn check_header(len: usize, limits: &Limits) -> Result<(), EncodeError> {
    let limit = limits.header_len;
    if len > limit { Err(EncodeError::HeaderOverLimit { len, limit }) } else { Ok(()) }
}

fn check_frame(len: usize, limit: usize) -> Result<(), EncodeError> {
    if len > limit { Err(EncodeError::FrameOverLimit { len, limit }) } else { Ok(()) }
}

/// How the pairs will be written, measured before the first byte.
struct Plan {
    info_len: usize,
    strings: u16,
    ints: u16,
    /// ACL tokens have a separate block.
    tokens: usize,
}

impl Plan {
    fn measure<'k>(
        strings: impl Iterator<Item = (&'k [u8], &'k [u8])>,
        ints: impl Iterator<Item = (u16, &'k [u8])>,
    ) -> Result<Self, EncodeError> {
        let mut plan = Self { info_len: 2, strings: 0, ints: 0, tokens: 0 };
        for (string_key, value) in strings {
            if string_key == key::ACL_TOKEN {
                plan.tokens = plan.tokens.saturating_add(1);
                plan.add(1, value_len(value)?);
            } else {
                plan.strings = plan.strings.checked_add(1).ok_or(EncodeError::TooManyPairs)?;
                plan.add(value_len(string_key)?, value_len(value)?);
            }
        }
        for (_, value) in ints {
            plan.ints = plan.ints.checked_add(1).ok_or(EncodeError::TooManyPairs)?;
            plan.add(2, value_len(value)?);
        }
        plan.add(if plan.strings > 0 { 3 } else { 0 }, if plan.ints > 0 { 3 } else { 0 });
        Ok(plan)
    }

    fn add(&mut self, len: usize, other: usize) {
        self.info_len = self.info_len.saturating_add(len).saturating_add(other);
    }

    fn check_pairs(&self, limits: &Limits) -> Result<(), EncodeError> {
        let (strings, ints) = (usize::from(self.strings), usize::from(self.ints));
        let (count, limit) = (strings.saturating_add(ints).saturating_add(self.tokens), limits.pairs);
        if count > limit { Err(EncodeError::PairsOverLimit { count, limit }) } else { Ok(()) }
    }

    fn words(&self) -> Result<u16, EncodeError> {
        let padded = self.info_len.saturating_add(self.padding());
        u16::try_from(padded / 4)
            .ok()
            .filter(|_| padded <= MAX_INFO_LEN)
            .ok_or(EncodeError::HeaderTooLarge { len: self.info_len })
    }

    const fn padding(&self) -> usize {
        self.info_len.wrapping_neg() & 3
    }

    fn write<'k>(
        &self,
        out: &mut BytesMut,
        strings: impl Iterator<Item = (&'k [u8], &'k [u8])> + Clone,
        ints: impl Iterator<Item = (u16, &'k [u8])>,
    ) {
        for (_, token) in strings.clone().filter(|&(string_key, _)| string_key == key::ACL_TOKEN) {
            out.put_u8(ACL_BLOCK);
            put_value(out, token);
        }
        if self.strings > 0 {
            out.put_u8(STRING_BLOCK);
            out.put_u16(self.strings);
            for (string_key, value) in strings.filter(|&(string_key, _)| string_key != key::ACL_TOKEN) {
                put_value(out, string_key);
                put_value(out, value);
            }
        }
        if self.ints > 0 {
            out.put_u8(INT_BLOCK);
            out.put_u16(self.ints);
            for (int_key, value) in ints {
                out.put_u16(int_key);
                put_value(out, value);
            }
        }
        out.put_bytes(0, self.padding());
    }
}

/// Returns the size in bytes of a value and its length prefix.
fn value_len(value: &[u8]) -> Result<usize, EncodeError> {
    let len = value.len();
    u16::try_from(len).map_err(|_| EncodeError::ValueTooLarge { len })?;
    Ok(len.saturating_add(2))
}

/// Appends a value; `Plan::measure` has checked that its length fits.
fn put_value(out: &mut BytesMut, value: &[u8]) {
    out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
    out.put_slice(value);
}
