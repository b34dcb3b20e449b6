//! Malformed messages of ping-pong calls.

use bytes::{BufMut, BytesMut};
use kerrors::{ExceptionError, MessageKind};
use ttheader_codec::Limits;

use super::CallProtocol;
use super::wire::{Outgoing, WireError, decode, encode};
use crate::Metadata;

/// The message in a TTHeader frame has a length of its own, which cannot make it end elsewhere than its frame: the next message
/// would be taken for its rest.
#[test]
fn a_length_within_a_ttheader_frame_that_leads_past_it_is_an_error_of_the_connection() {
    let limits = Limits { frame_len: 1000, ..Limits::default() };
    let metadata = Metadata::new();
    let message = Outgoing {
        name: "Ping",
        kind: MessageKind::Call,
        sequence_id: 7,
        metadata: &metadata,
        body: &[0; 20],
        request: None,
    };
    let mut frame = BytesMut::new();
    encode(CallProtocol::Ttheader, &message, &limits, &mut frame).expect("it is short");
    let inner = frame.len() - 20 - "Ping".len() - 16;
    let whole = u32::from_be_bytes(*frame[inner..].first_chunk().expect("four bytes"));
    assert_eq!(whole, 20 + 4 + 12, "the length of the inner message");
    for (len, is_valid) in [(whole, true), (whole + 1, false), (1001, false), (0x7fff_ffff, false)] {
        let mut buf = frame.clone();
        (&mut buf[inner..inner + 4]).put_u32(len);
        buf.extend_from_slice(&frame);
        let read = decode(CallProtocol::Ttheader, &mut buf, &limits);
        let refused = matches!(&read, Err(WireError::Message(ExceptionError::Truncated)));
        assert_eq!((read.is_ok(), refused), (is_valid, !is_valid), "{len}: {read:?}");
    }
}
