//! Encodes and decodes frames of the lab service. Knows no socket.

use bytes::{Buf, Bytes, BytesMut};
use kitex::kitex_thrift::Payload;
use ttheader_codec::{FrameType, Head, HeaderTemplate, LENGTH_LEN, Limits, encode_header, key, peek_frame};

/// A method, and the common header of its data frames.
#[derive(Debug)]
pub(crate) struct Method {
    name: &'static [u8],
    data: HeaderTemplate,
}

/// A received frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) id: i32,
    pub(crate) frame_type: FrameType,
    /// Whether the method is `Bidi` and not `Down`.
    pub(crate) echo: bool,
    pub(crate) payload: Bytes,
}

const BIDI: &[u8] = b"Bidi";
const DOWN: &[u8] = b"Down";

impl Method {
    pub(crate) fn bidi() -> Self {
        Self::new(BIDI)
    }

    pub(crate) fn down() -> Self {
        Self::new(DOWN)
    }

    fn new(name: &'static [u8]) -> Self {
        let data = HeaderTemplate::new(Head::streaming(0), ints(FrameType::Data, name));
        Self { name, data: data.expect("it is short") }
    }

    /// Appends a data frame.
    pub(crate) fn put_data(&self, id: i32, message: &impl Payload, out: &mut BytesMut) {
        let start = out.len();
        self.data.write(id, 0, out).expect("it fits a frame");
        message.encode(out).expect("it fits a frame");
        // The length of the message is known now.
        let length = u32::try_from(out.len() - start - LENGTH_LEN).expect("it fits a frame");
        out[start..start + LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
    }

    /// Appends a header or a trailer.
    pub(crate) fn put_bare(&self, id: i32, frame_type: FrameType, out: &mut BytesMut) {
        encode_header(out, Head::streaming(id), [], ints(frame_type, self.name), 0).expect("it is short");
    }
}

/// Removes the next whole frame from `input`.
pub(crate) fn take_frame(input: &mut BytesMut) -> Option<Frame> {
    let header = peek_frame(input, &Limits::default()).expect("the peer is ours")?;
    let (id, header_len, payload_len) = (header.sequence_id, header.header_len, header.payload_len);
    let frame_type = header.frame_type().expect("the peer is ours");
    let echo = header.to_method() == Some(BIDI);
    input.advance(header_len);
    Some(Frame { id, frame_type, echo, payload: input.split_to(payload_len).freeze() })
}

fn ints(frame_type: FrameType, name: &[u8]) -> [(u16, &[u8]); 2] {
    [(key::FRAME_TYPE, frame_type.as_bytes()), (key::TO_METHOD, name)]
}
