//! The reading of ping-pong messages, for the fuzz target: compiled for it alone.

use bytes::{Buf, Bytes, BytesMut};
use ttheader_codec::Limits;

use super::CallProtocol;
use super::wire::{Outgoing, decode, encode, peek_refused};

/// What a server has read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// A message: its name, its number and what follows its envelope.
    Message(String, i32, Bytes),
    /// A message over a limit, which is skipped: its name, its number and its bytes.
    Refused(String, i32, usize),
}

/// Reads `bytes`, which arrive in pieces of `step`, as a server does. Returns what it has read, and the error that closes the
/// connection.
pub fn calls(
    protocol: CallProtocol,
    bytes: &[u8],
    step: usize,
    limits: &Limits,
) -> (Vec<Read>, Option<String>) {
    let (mut seen, mut buf, mut to_skip) = (Vec::new(), BytesMut::new(), 0_usize);
    for piece in bytes.chunks(step.max(1)) {
        buf.extend_from_slice(piece);
        loop {
            let skipped = to_skip.min(buf.len());
            buf.advance(skipped);
            to_skip = to_skip.saturating_sub(skipped);
            if to_skip > 0 {
                break;
            }
            match decode(protocol, &mut buf, limits) {
                Ok(Some(message)) => {
                    written_again(protocol, &message.name, &message.body);
                    seen.push(Read::Message(message.name, message.sequence_id, message.body));
                }
                Ok(None) => break,
                Err(error) if error.is_over_limit() => match peek_refused(protocol, &buf, limits, error) {
                    Ok(Some(refused)) => {
                        to_skip = refused.len;
                        seen.push(Read::Refused(refused.name, refused.sequence_id, refused.len));
                    }
                    Ok(None) => break,
                    Err(error) => return (seen, Some(error.to_string())),
                },
                Err(error) => return (seen, Some(error.to_string())),
            }
        }
    }
    (seen, None)
}

/// Checks that a message with this name and body is read as it was written.
fn written_again(protocol: CallProtocol, name: &str, body: &[u8]) {
    let (limits, metadata, mut out) = (Limits::FORMAT, crate::Metadata::new(), BytesMut::new());
    let kind = kerrors::MessageKind::Call;
    let message = Outgoing { name, kind, sequence_id: 7, metadata: &metadata, body, request: None };
    if encode(protocol, &message, &limits, &mut out).is_ok() {
        let read = decode(protocol, &mut out, &limits);
        let same = matches!(&read, Ok(Some(read)) if (&*read.name, &read.body[..]) == (name, body));
        assert!(same && out.is_empty(), "{name}: {read:?}");
    }
}
