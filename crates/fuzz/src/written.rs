//! The output of a connection as its peer sees it: whole frames, and for each stream the sequence of frames
//! as letters. Knows nothing of the connection.

use std::collections::BTreeMap;

use bytes::BytesMut;
use kerrors::Side;
use ttheader_codec::{FrameType, Limits};

use crate::frames::{Seen, rest_of_frames};

/// The frames that one end has written.
#[derive(Debug)]
pub(crate) struct Written {
    side: Side,
    partial: BytesMut,
    /// The letters of the frames, by stream; data counts once.
    words: BTreeMap<i32, String>,
}

impl Written {
    pub(crate) fn new(side: Side) -> Self {
        Self { side, partial: BytesMut::new(), words: BTreeMap::new() }
    }

    /// Records written bytes. `openings` returns how often the peer has opened an id; a client's peer opens
    /// none.
    pub(crate) fn saw(&mut self, bytes: &[u8], openings: impl Fn(i32) -> Option<u32>) {
        self.partial.extend_from_slice(bytes);
        let (frames, error) = rest_of_frames(&mut self.partial, &Limits::default());
        assert_eq!(error, None, "{:?} wrote an invalid frame", self.side);
        for seen in frames.into_iter().map(Seen::from) {
            if seen.id == 0 {
                self.saw_credit(&seen);
                continue;
            }
            let opened = openings(seen.id);
            assert!(opened.is_some(), "a frame for a stream that was not opened: {seen:?}");
            // Of a reused id, frames of the previous stream may still be in flight.
            if self.side == Side::Client || opened == Some(1) {
                self.saw_frame(&seen);
            }
        }
    }

    /// Checks a frame of credits: an answer without grants, or one grant for a stream.
    fn saw_credit(&self, seen: &Seen) {
        assert_eq!(seen.kind, Some(FrameType::Meta), "{:?}: {seen:?}", self.side);
        let grant = seen.payload.split_first_chunk::<4>().map(|(id, bytes)| (i32::from_be_bytes(*id), bytes));
        let is_grant = grant.is_some_and(|(id, bytes)| id != 0 && bytes.len() == 4 && bytes != [0; 4]);
        assert!(seen.payload.is_empty() || is_grant, "{:?}: {seen:?}", self.side);
    }

    fn saw_frame(&mut self, seen: &Seen) {
        let word = self.words.entry(seen.id).or_default();
        let letter = letter(seen);
        if letter != 'D' || !word.ends_with('D') {
            word.push(letter);
        }
        assert!(is_legal(self.side, word), "{:?} wrote {word} on stream {}", self.side, seen.id);
    }
}

fn letter(seen: &Seen) -> char {
    match seen.kind {
        Some(FrameType::Header) => 'H',
        Some(FrameType::Data) => 'D',
        Some(FrameType::Trailer) => 'T',
        Some(FrameType::Rst) => 'R',
        Some(FrameType::Meta) | None => panic!("an unexpected frame type: {seen:?}"),
    }
}

/// Returns whether the sequence is valid: one header first, then data, then at most one trailer and at most
/// one Rst, and nothing after them.
fn is_legal(sender: Side, word: &str) -> bool {
    let body = word.strip_prefix('H').map(|rest| rest.strip_prefix('D').unwrap_or(rest));
    match (sender, body) {
        // A cancel may follow the half close, and for peers that do not know Rst a half close follows the
        // cancel.
        (Side::Client, Some(end)) => matches!(end, "" | "T" | "R" | "RT" | "TR"),
        (Side::Client, None) => false,
        // A refused stream gets only an Rst, one that was canceled before its response only a trailer.
        (Side::Server, body) => matches!(body.unwrap_or(word), "" | "T" | "R"),
    }
}
