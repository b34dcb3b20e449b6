//! What a connection has written, as a stranger sees it: whole frames, and of each stream a word that keeps
//! the order of frames. Knows nothing of the connection.

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

    /// Bytes went out. `openings` says how often the peer has opened an id; a client's peer opens none.
    pub(crate) fn saw(&mut self, bytes: &[u8], openings: impl Fn(i32) -> Option<u32>) {
        self.partial.extend_from_slice(bytes);
        let (frames, error) = rest_of_frames(&mut self.partial, &Limits::default());
        assert_eq!(error, None, "{:?} wrote what is no frame", self.side);
        for seen in frames.into_iter().map(Seen::from) {
            let opened = openings(seen.id);
            assert!(opened.is_some(), "a frame for a stream that nobody opened: {seen:?}");
            // Of an id that is used again, frames of the stream before may still be under way.
            if self.side == Side::Client || opened == Some(1) {
                self.saw_frame(&seen);
            }
        }
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
        Some(FrameType::Meta) | None => panic!("nobody sends this: {seen:?}"),
    }
}

/// One header first, then data, then at most one trailer and at most one Rst, and nothing behind them.
fn is_legal(sender: Side, word: &str) -> bool {
    let body = word.strip_prefix('H').map(|rest| rest.strip_prefix('D').unwrap_or(rest));
    match (sender, body) {
        // A cancel may follow the half close, and for peers that know no Rst the half close follows it.
        (Side::Client, Some(end)) => matches!(end, "" | "T" | "R" | "RT" | "TR"),
        (Side::Client, None) => false,
        // A refused stream gets an Rst alone, one that was canceled before its answer a trailer alone.
        (Side::Server, body) => matches!(body.unwrap_or(word), "" | "T" | "R"),
    }
}
