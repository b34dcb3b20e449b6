//! A decoded frame: a view of its header, and the owned pair of header and payload. Owns the typed wire values; does not
//! read them.

use bytes::Bytes;

use crate::info::{self, Ints, Strings};

/// Flag bits of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// No bit set: a ping-pong call.
    pub const NONE: Self = Self(0);
    /// Responses may arrive out of order.
    pub const OUT_OF_ORDER: Self = Self(0x0001);
    /// The frame belongs to a stream.
    pub const STREAMING: Self = Self(0x0002);

    /// Returns all sixteen bits, as on the wire.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// Returns all sixteen bits, as on the wire.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Returns whether every bit of `other` is set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The encoding of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum ProtocolId {
    /// A Thrift message in the binary protocol (0x00).
    ThriftBinary = 0x00,
    /// A Thrift message in the compact protocol (0x03).
    ThriftCompact = 0x03,
    /// A Kitex Protobuf message (0x04).
    KitexProtobuf = 0x04,
    /// One bare Thrift struct (0x10): TTHeader Streaming.
    ThriftStruct = 0x10,
    /// One bare Protobuf message (0x11): TTHeader Streaming.
    ProtobufStruct = 0x11,
}

impl ProtocolId {
    pub(crate) const fn from_u8(id: u8) -> Option<Self> {
        Some(match id {
            0x00 => Self::ThriftBinary,
            0x03 => Self::ThriftCompact,
            0x04 => Self::KitexProtobuf,
            0x10 => Self::ThriftStruct,
            0x11 => Self::ProtobufStruct,
            _ => return None,
        })
    }

    /// Returns the byte on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }
}

/// The type of a TTHeader Streaming frame; the value of [`key::FRAME_TYPE`](crate::key::FRAME_TYPE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// Strings for the client's meta handler, or for the connection on stream 0.
    Meta,
    /// From a client: opens a stream. From a server: the header of its response.
    Header,
    /// One message.
    Data,
    /// The sender's direction has ended.
    Trailer,
    /// The whole stream has ended, by a cancel.
    Rst,
}

impl FrameType {
    /// Reads the value of the frame type key.
    pub const fn from_bytes(value: &[u8]) -> Option<Self> {
        Some(match value {
            b"1" => Self::Meta,
            b"2" => Self::Header,
            b"3" => Self::Data,
            b"4" => Self::Trailer,
            b"5" => Self::Rst,
            _ => return None,
        })
    }

    /// Returns the value of the frame type key.
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Meta => b"1",
            Self::Header => b"2",
            Self::Data => b"3",
            Self::Trailer => b"4",
            Self::Rst => b"5",
        }
    }
}

/// The fixed fields of a header that a writer chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Flag bits.
    pub flags: Flags,
    /// Sequence id of a call, stream id of a streaming frame.
    pub sequence_id: i32,
    /// The encoding of the payload.
    pub protocol_id: ProtocolId,
}

impl Head {
    /// Returns the head of a streaming frame with a Thrift struct as payload.
    pub const fn streaming(stream_id: i32) -> Self {
        Self { flags: Flags::STREAMING, sequence_id: stream_id, protocol_id: ProtocolId::ThriftStruct }
    }

    /// Returns the head of a ping-pong frame with a Thrift message as payload.
    pub const fn ping_pong(sequence_id: i32) -> Self {
        Self { flags: Flags::NONE, sequence_id, protocol_id: ProtocolId::ThriftBinary }
    }
}

/// A header whose lengths and blocks have been checked. Borrows from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Flag bits.
    pub flags: Flags,
    /// Sequence id of a call, stream id of a streaming frame.
    pub sequence_id: i32,
    /// The encoding of the payload.
    pub protocol_id: ProtocolId,
    /// Bytes from the frame's start to its payload.
    pub header_len: usize,
    /// Bytes of the payload.
    pub payload_len: usize,
    pub(crate) blocks: &'a [u8],
    pub(crate) frame_type: Option<&'a [u8]>,
    pub(crate) to_method: Option<&'a [u8]>,
    pub(crate) string_count: usize,
}

impl<'a> Header<'a> {
    /// Returns the value of an int key; the last one of duplicates.
    pub fn int(&self, key: u16) -> Option<&'a [u8]> {
        self.ints().filter(|&(found, _)| found == key).last().map(|(_, value)| value)
    }

    /// Returns the value of a string key; the last one of duplicates.
    pub fn string(&self, key: &[u8]) -> Option<&'a [u8]> {
        if self.string_count == 0 {
            return None;
        }
        self.strings().filter(|&(found, _)| found == key).last().map(|(_, value)| value)
    }

    /// Returns every int pair in wire order. A later duplicate overrides an earlier one.
    pub fn ints(&self) -> Ints<'a> {
        info::ints(self.blocks)
    }

    /// Returns every string pair in wire order. A later duplicate overrides an earlier one.
    /// An ACL token has the key [`key::ACL_TOKEN`](crate::key::ACL_TOKEN).
    pub fn strings(&self) -> Strings<'a> {
        info::strings(self.blocks)
    }

    /// Returns the number of string pairs, including duplicates, in constant time.
    pub const fn string_count(&self) -> usize {
        self.string_count
    }

    /// Returns the type of a streaming frame; `None` if the key is absent or its value unknown.
    pub fn frame_type(&self) -> Option<FrameType> {
        self.frame_type.and_then(FrameType::from_bytes)
    }

    /// Returns the value of [`key::TO_METHOD`](crate::key::TO_METHOD), in constant time.
    pub const fn to_method(&self) -> Option<&'a [u8]> {
        self.to_method
    }

    /// Returns the size of the whole frame in bytes.
    pub const fn frame_len(&self) -> usize {
        self.header_len.saturating_add(self.payload_len)
    }
}

/// A complete frame that owns its bytes. A clone shares them.
#[derive(Clone, Debug)]
pub struct Frame {
    pub(crate) fields: Header<'static>,
    pub(crate) blocks: Bytes,
    /// The payload.
    pub payload: Bytes,
}

impl Frame {
    /// Returns a view of the header.
    pub fn header(&self) -> Header<'_> {
        let mut header = Header { blocks: &self.blocks, ..self.fields };
        (header.frame_type, header.to_method) = info::streaming_keys(&self.blocks);
        header
    }
}
