//! What a frame is once it is decoded: a view of its header, and the owned pair of header and
//! payload. Owns the typed wire values; knows nothing of how they were read.

use bytes::Bytes;

use crate::info::{self, Ints, Strings};

/// Flag bits of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// No bit set: a ping-pong call.
    pub const NONE: Self = Self(0);
    /// Answers may come out of order.
    pub const OUT_OF_ORDER: Self = Self(0x0001);
    /// The frame belongs to a stream.
    pub const STREAMING: Self = Self(0x0002);

    /// All sixteen bits as they stand on the wire.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// All sixteen bits as they stand on the wire.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether every bit of `other` is set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How the payload is encoded.
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

    /// The byte on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }
}

/// What a frame of TTHeader Streaming does; the value of [`key::FRAME_TYPE`](crate::key::FRAME_TYPE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// Strings for the client's meta handler, or for the connection on stream 0.
    Meta,
    /// Opens a stream, or answers that it is open.
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

    /// The value of the frame type key.
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
    /// How the payload is encoded.
    pub protocol_id: ProtocolId,
}

impl Head {
    /// The head of a streaming frame with a Thrift struct as payload.
    pub const fn streaming(stream_id: i32) -> Self {
        Self { flags: Flags::STREAMING, sequence_id: stream_id, protocol_id: ProtocolId::ThriftStruct }
    }

    /// The head of a ping-pong frame with a Thrift message as payload.
    pub const fn ping_pong(sequence_id: i32) -> Self {
        Self { flags: Flags::NONE, sequence_id, protocol_id: ProtocolId::ThriftBinary }
    }
}

/// A header whose every length and block has been checked. Borrows from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Flag bits.
    pub flags: Flags,
    /// Sequence id of a call, stream id of a streaming frame.
    pub sequence_id: i32,
    /// How the payload is encoded.
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
    /// Value of an int key; of several, the last.
    pub fn int(&self, key: u16) -> Option<&'a [u8]> {
        self.ints().filter(|&(found, _)| found == key).last().map(|(_, value)| value)
    }

    /// Value of a string key; of several, the last.
    pub fn string(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.strings().filter(|&(found, _)| found == key).last().map(|(_, value)| value)
    }

    /// Every int pair in wire order. A later duplicate overrides an earlier one.
    pub fn ints(&self) -> Ints<'a> {
        info::ints(self.blocks)
    }

    /// Every string pair in wire order. A later duplicate overrides an earlier one.
    /// An ACL token surfaces under [`key::ACL_TOKEN`](crate::key::ACL_TOKEN).
    pub fn strings(&self) -> Strings<'a> {
        info::strings(self.blocks)
    }

    /// How many string pairs there are, later duplicates too, without a walk.
    pub const fn string_count(&self) -> usize {
        self.string_count
    }

    /// Type of a streaming frame, `None` if the key is absent or its value unknown.
    pub fn frame_type(&self) -> Option<FrameType> {
        self.frame_type.and_then(FrameType::from_bytes)
    }

    /// Value of [`key::TO_METHOD`](crate::key::TO_METHOD) without a search.
    pub const fn to_method(&self) -> Option<&'a [u8]> {
        self.to_method
    }

    /// Bytes of the whole frame.
    pub const fn frame_len(&self) -> usize {
        self.header_len.saturating_add(self.payload_len)
    }
}

/// A whole frame that owns its bytes. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Frame {
    pub(crate) fields: Header<'static>,
    pub(crate) blocks: Bytes,
    /// What follows the header.
    pub payload: Bytes,
}

impl Frame {
    /// A view of the header.
    pub fn header(&self) -> Header<'_> {
        let mut header = Header { blocks: &self.blocks, ..self.fields };
        (header.frame_type, header.to_method) = info::streaming_keys(&self.blocks);
        header
    }
}
