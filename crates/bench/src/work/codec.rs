//! Encoding and decoding of headers: of a data frame, one per message, and of a frame that opens a stream.

use std::hint::black_box;

use bytes::BytesMut;
use ttheader_codec::{
    FrameType, Head, HeaderTemplate, Limits, PREFIX_LEN, decode_header, encode_header, key, peek_frame,
};

/// The size of the payload after a header, in bytes.
const PAYLOAD: usize = 1024;
const METHOD: &[u8] = b"Bidi";

/// The header of a data frame with a payload of 1 KiB.
#[derive(Debug)]
pub struct DataHeader {
    template: HeaderTemplate,
    limits: Limits,
    wire: Vec<u8>,
    out: BytesMut,
}

impl Default for DataHeader {
    fn default() -> Self {
        let template = HeaderTemplate::new(Head::streaming(0), ints(FrameType::Data)).expect("it is short");
        let mut out = BytesMut::new();
        template.write(7, PAYLOAD, &mut out).expect("it fits a frame");
        let mut wire = out.to_vec();
        wire.resize(wire.len() + PAYLOAD, 0);
        Self { template, limits: Limits::default(), wire, out }
    }
}

impl DataHeader {
    /// Reads the fields that route a frame, as `proto` does for each received frame.
    pub fn decode(&self) {
        let header = peek_frame(black_box(&self.wire), &self.limits).expect("ours").expect("whole");
        assert!(header.frame_type() == Some(FrameType::Data) && header.payload_len == PAYLOAD);
        black_box((header.sequence_id, header.to_method(), header.header_len));
    }

    /// Writes it from the method's template, as `proto` does for each sent message.
    pub fn encode(&mut self) {
        self.out.clear();
        self.template.write(black_box(7), black_box(PAYLOAD), &mut self.out).expect("it fits a frame");
        assert!(black_box(&self.out).len() > PREFIX_LEN);
    }

    /// Writes it pair by pair, without a template.
    pub fn encode_pairs(&mut self) {
        self.out.clear();
        let head = Head::streaming(black_box(7));
        encode_header(&mut self.out, head, [], ints(FrameType::Data), black_box(PAYLOAD)).expect("it fits");
        assert!(black_box(&self.out).len() > PREFIX_LEN);
    }
}

/// A frame that opens a stream, with metainfo.
#[derive(Debug)]
pub struct HeaderFrame {
    limits: Limits,
    wire: BytesMut,
    out: BytesMut,
}

impl Default for HeaderFrame {
    fn default() -> Self {
        let mut frame =
            Self { limits: Limits::default(), wire: BytesMut::new(), out: BytesMut::with_capacity(256) };
        frame.encode();
        frame.wire = frame.out.clone();
        frame
    }
}

impl HeaderFrame {
    /// Reads it, including every string.
    pub fn decode(&self) {
        let header = decode_header(black_box(&self.wire), &self.limits).expect("ours").expect("whole");
        assert!(header.frame_type() == Some(FrameType::Header));
        black_box(header.strings().fold(0, |sum, (key, value)| sum + key.len() + value.len()));
    }

    /// Writes it.
    pub fn encode(&mut self) {
        self.out.clear();
        let strings: [(&[u8], &[u8]); 3] =
            [(key::IDL_SERVICE, b"Lab"), (b"log-id", b"0123456789abcdef"), (b"user", b"1234")];
        let head = Head::streaming(black_box(7));
        encode_header(&mut self.out, head, strings, ints(FrameType::Header), 0).expect("it fits a frame");
        black_box(&self.out);
    }
}

fn ints(frame_type: FrameType) -> [(u16, &'static [u8]); 2] {
    [(key::FRAME_TYPE, frame_type.as_bytes()), (key::TO_METHOD, METHOD)]
}
