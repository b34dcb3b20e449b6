//! The codec alone, in a program of one's own: a relay that reads frames from any byte stream and
//! says what passes. Needs nothing else of this workspace.
//!
//! ```text
//! cargo run -p ttheader-codec --example embed_codec
//! ```

use bytes::BytesMut;
use ttheader_codec::{FrameType, Head, Limits, decode_frame, encode_header, key};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut wire = BytesMut::new();
    write_frame(&mut wire, FrameType::Header, &[(key::IDL_SERVICE, b"Lab")], b"")?;
    write_frame(&mut wire, FrameType::Data, &[], b"a Thrift struct")?;
    write_frame(&mut wire, FrameType::Rst, &[(key::CANCEL_PATH, b"ServiceA")], b"")?;

    // Bytes come as a socket gives them; a frame comes out when it is whole.
    let limits = Limits { frame_len: 64 * 1024, ..Limits::default() };
    let mut received = BytesMut::new();
    for chunk in wire.chunks(10) {
        received.extend_from_slice(chunk);
        while let Some(frame) = decode_frame(&mut received, &limits)? {
            let header = frame.header();
            println!(
                "stream {} {:?} of {:?}: {} payload bytes, canceled path {:?}",
                header.sequence_id,
                header.frame_type(),
                header.to_method().map(String::from_utf8_lossy),
                frame.payload.len(),
                header.string(key::CANCEL_PATH).map(String::from_utf8_lossy),
            );
        }
    }
    Ok(())
}

fn write_frame(
    wire: &mut BytesMut,
    frame_type: FrameType,
    strings: &[(&[u8], &[u8])],
    payload: &[u8],
) -> Result<(), ttheader_codec::EncodeError> {
    let ints = [(key::FRAME_TYPE, frame_type.as_bytes()), (key::TO_METHOD, &b"Down"[..])];
    encode_header(wire, Head::streaming(1), strings.iter().copied(), ints, payload.len())?;
    wire.extend_from_slice(payload);
    Ok(())
}
