//! Splits bytes into frames. Owns every check of a length; does no IO.

use bytes::{Buf, BytesMut};

use crate::error::DecodeError;
use crate::frame::{Flags, Frame, Header, ProtocolId};
use crate::info::{Pair, Pairs};
use crate::{LENGTH_LEN, MAGIC, MAX_INFO_LEN, MAX_LENGTH, PREFIX_LEN, key};

/// Limits of a decoder. All are checked before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole frame. Default 16 MiB; never above 1 GiB.
    pub frame_len: usize,
    /// Bytes of a frame's header. Default 262,154, the maximum of the format.
    pub header_len: usize,
    /// Pairs in a frame's header. Default 1,024.
    pub pairs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame_len: 16 * 1024 * 1024, header_len: PREFIX_LEN + MAX_INFO_LEN, pairs: 1024 }
    }
}

impl Limits {
    /// The maximum of the format, which applies if no limit is set.
    pub const FORMAT: Self = Self {
        frame_len: MAX_LENGTH as usize + LENGTH_LEN,
        header_len: PREFIX_LEN + MAX_INFO_LEN,
        pairs: usize::MAX,
    };
}

/// A frame that exceeds a limit but has a valid format: its end is known, so it can be skipped.
#[derive(Clone, Copy, Debug)]
pub struct Oversize<'a> {
    /// Flag bits.
    pub flags: Flags,
    /// Sequence id of a call, stream id of a streaming frame.
    pub sequence_id: i32,
    /// Bytes of the whole frame, at most 1 GiB.
    pub frame_len: usize,
    /// The header. `None` if the header itself exceeds [`Limits::header_len`]; it is not read then.
    pub header: Option<Header<'a>>,
}

/// Returns what is known of the frame at the start of `buf`, which [`peek_frame`] refused because it exceeds
/// `limits`; `None` if bytes of its header are missing. The payload is not needed.
///
/// # Errors
/// The bytes are not a frame within any limits: any [`DecodeError`] that does not name a limit.
pub fn peek_oversize<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<Oversize<'a>>, DecodeError> {
    let Some(prefix) = Prefix::parse(buf, &Limits::FORMAT)? else { return Ok(None) };
    let Prefix { frame_len, header_len, flags, sequence_id } = prefix;
    let header = match header_len <= limits.header_len {
        true => match prefix.header(buf, &Limits::FORMAT)? {
            None => return Ok(None),
            header => header,
        },
        false => None,
    };
    Ok(Some(Oversize { flags, sequence_id, frame_len, header }))
}

/// Takes the next complete frame out of `buf`; `None` if bytes are missing, and then `buf` is unchanged.
///
/// # Errors
/// Any [`DecodeError`]. Errors in the first fourteen bytes are returned before the rest arrives.
pub fn decode_frame(buf: &mut BytesMut, limits: &Limits) -> Result<Option<Frame>, DecodeError> {
    let Some(header) = peek_frame(buf, limits)? else {
        return Ok(None);
    };
    let (header_len, payload_len) = (header.header_len, header.payload_len);
    let blocks_at = header_len.saturating_sub(header.blocks.len());
    let fields = Header { blocks: &[], frame_type: None, to_method: None, ..header };
    let mut blocks = buf.split_to(header_len).freeze();
    blocks.advance(blocks_at);
    Ok(Some(Frame { fields, blocks, payload: buf.split_to(payload_len).freeze() }))
}

/// Returns the header of the frame at the start of `buf`; `None` until the complete frame is there.
///
/// The caller advances by [`Header::header_len`] and takes [`Header::payload_len`] bytes. This does not allocate.
///
/// # Errors
/// As [`decode_frame`].
pub fn peek_frame<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<Header<'a>>, DecodeError> {
    match Prefix::parse(buf, limits)? {
        Some(prefix) if buf.len() >= prefix.frame_len => prefix.header(buf, limits),
        _ => Ok(None),
    }
}

/// Returns the header of the frame at the start of `buf`, without waiting for its payload; `None` if bytes of the
/// header are missing.
///
/// # Errors
/// As [`decode_frame`].
pub fn decode_header<'a>(buf: &'a [u8], limits: &Limits) -> Result<Option<Header<'a>>, DecodeError> {
    match Prefix::parse(buf, limits)? {
        Some(prefix) => prefix.header(buf, limits),
        None => Ok(None),
    }
}

/// The fixed fields, with lengths checked against each other and the limits.
struct Prefix {
    frame_len: usize,
    header_len: usize,
    flags: Flags,
    sequence_id: i32,
}

impl Prefix {
    fn parse(buf: &[u8], limits: &Limits) -> Result<Option<Self>, DecodeError> {
        let Some(&[l0, l1, l2, l3, m0, m1]) = buf.first_chunk() else {
            return Ok(None);
        };
        let magic = u16::from_be_bytes([m0, m1]);
        if magic != MAGIC {
            return Err(DecodeError::Magic { found: magic });
        }
        let frame_len = frame_len(u32::from_be_bytes([l0, l1, l2, l3]), limits)?;
        let Some(&[_, _, _, _, _, _, f0, f1, s0, s1, s2, s3, w0, w1]) = buf.first_chunk::<PREFIX_LEN>()
        else {
            return Ok(None);
        };
        let header_len = header_len(u16::from_be_bytes([w0, w1]), frame_len, limits)?;
        let flags = Flags::from_bits(u16::from_be_bytes([f0, f1]));
        Ok(Some(Self { frame_len, header_len, flags, sequence_id: i32::from_be_bytes([s0, s1, s2, s3]) }))
    }

    fn header<'a>(&self, buf: &'a [u8], limits: &Limits) -> Result<Option<Header<'a>>, DecodeError> {
        let Some(info) = buf.get(PREFIX_LEN..self.header_len) else {
            return Ok(None);
        };
        let &[protocol, transforms, ref blocks @ ..] = info else {
            return Err(DecodeError::HeaderEmpty);
        };
        let protocol_id =
            ProtocolId::from_u8(protocol).ok_or(DecodeError::UnknownProtocol { id: protocol })?;
        if transforms > 0 {
            return Err(DecodeError::Transforms { count: transforms });
        }
        let Checked { frame_type, to_method, string_count } = check_blocks(blocks, limits)?;
        Ok(Some(Header {
            flags: self.flags,
            sequence_id: self.sequence_id,
            protocol_id,
            header_len: self.header_len,
            payload_len: self.frame_len.saturating_sub(self.header_len),
            blocks,
            frame_type,
            to_method,
            string_count,
        }))
    }
}

fn frame_len(length: u32, limits: &Limits) -> Result<usize, DecodeError> {
    let frame_len = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(LENGTH_LEN);
    if frame_len > limits.frame_len || length > MAX_LENGTH {
        return Err(DecodeError::FrameTooLarge { frame_len, limit: limits.frame_len });
    }
    Ok(frame_len)
}

fn header_len(words: u16, frame_len: usize, limits: &Limits) -> Result<usize, DecodeError> {
    let header_len = usize::from(words).saturating_mul(4).saturating_add(PREFIX_LEN);
    if words == 0 {
        return Err(DecodeError::HeaderEmpty);
    }
    if header_len > limits.header_len {
        return Err(DecodeError::HeaderTooLarge { header_len, limit: limits.header_len });
    }
    if header_len > frame_len {
        return Err(DecodeError::HeaderOverrun { frame_len, header_len });
    }
    Ok(header_len)
}

/// The result of reading the blocks.
#[derive(Default)]
struct Checked<'a> {
    frame_type: Option<&'a [u8]>,
    to_method: Option<&'a [u8]>,
    string_count: usize,
}

/// Reads every pair once, so that later reads cannot fail. Keeps the two keys by which a streaming
/// frame is routed, so that they need not be searched for.
fn check_blocks<'a>(blocks: &'a [u8], limits: &Limits) -> Result<Checked<'a>, DecodeError> {
    let mut checked = Checked::default();
    let mut pairs = Pairs::new(blocks);
    let mut left = limits.pairs;
    while let Some(pair) = pairs.read()? {
        left = left.checked_sub(1).ok_or(DecodeError::TooManyPairs { limit: limits.pairs })?;
        match pair {
            Pair::Int(key::FRAME_TYPE, value) => checked.frame_type = Some(value),
            Pair::Int(key::TO_METHOD, value) => checked.to_method = Some(value),
            Pair::Int(..) => {}
            Pair::String(..) => checked.string_count = checked.string_count.saturating_add(1),
        }
    }
    Ok(checked)
}
