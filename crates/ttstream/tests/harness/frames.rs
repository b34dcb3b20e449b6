//! Decoded, owned frames for tests. Owns the invariant of every direction of every stream; knows nothing of
//! connections.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, Side};
use ttheader_codec::{FrameType, Head, Limits, decode_frame, encode_header, key};

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: i32,
    /// Value of the frame type key, possibly of an unknown type.
    pub(crate) kind: Bytes,
    pub(crate) method: Bytes,
    /// The time left until the deadline, as on the wire.
    pub(crate) timeout: Option<Bytes>,
    /// The window of flow control by credits, as on the wire.
    pub(crate) credits: Option<Bytes>,
    pub(crate) strings: Vec<(Bytes, Bytes)>,
    pub(crate) payload: Bytes,
}

impl Seen {
    /// Returns a frame without strings and payload, of method `M`.
    pub(crate) fn new(id: i32, frame_type: FrameType) -> Self {
        Self::unknown(id, frame_type.as_bytes())
    }

    /// Returns a frame of a type that may be unknown.
    pub(crate) fn unknown(id: i32, kind: &'static [u8]) -> Self {
        let (kind, method) = (Bytes::from_static(kind), Bytes::from_static(b"M"));
        Self { id, kind, method, timeout: None, credits: None, strings: Vec::new(), payload: Bytes::new() }
    }

    /// Returns the Rst frame of a proxy that ends a stream.
    pub(crate) fn rst(id: i32, code: i32, text: &str, path: &'static str) -> Self {
        let rst =
            Self::new(id, FrameType::Rst).payload(ApplicationException::new(code, text).encode("M", id));
        if path.is_empty() { rst } else { rst.string(key::CANCEL_PATH, path) }
    }

    pub(crate) fn string(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.strings.push((key.into(), value.into()));
        self
    }

    pub(crate) fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = payload.into();
        self
    }

    pub(crate) fn credits(mut self, window: impl Into<Bytes>) -> Self {
        self.credits = Some(window.into());
        self
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let strings = self.strings.iter().map(|(key, value)| (&key[..], &value[..]));
        let timeout = self.timeout.iter().map(|timeout| (key::RPC_TIMEOUT, &timeout[..]));
        let ints = [(key::FRAME_TYPE, &self.kind[..]), (key::TO_METHOD, &self.method[..])];
        let credits = self.credits.iter().map(|window| (key::FLOW_CREDITS, &window[..]));
        let ints = ints.into_iter().chain(timeout).chain(credits);
        encode_header(&mut out, Head::streaming(self.id), strings, ints, self.payload.len()).unwrap();
        out.extend_from_slice(&self.payload);
        out.freeze()
    }

    pub(crate) fn frame_type(&self) -> Option<FrameType> {
        FrameType::from_bytes(&self.kind)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&str> {
        let found = self.strings.iter().rfind(|(found, _)| found == key);
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Returns the error in a trailer or an Rst frame.
    pub(crate) fn exception(&self) -> Option<ApplicationException> {
        ApplicationException::decode(&self.payload).ok()
    }

    fn letter(&self) -> char {
        match self.frame_type() {
            Some(FrameType::Meta) => 'M',
            Some(FrameType::Header) => 'H',
            Some(FrameType::Data) => 'D',
            Some(FrameType::Trailer) => 'T',
            Some(FrameType::Rst) => 'R',
            None => '?',
        }
    }
}

/// Decodes and records the frames of passing bytes.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    partial: BytesMut,
    frames: Vec<Seen>,
    broken: bool,
}

impl Tap {
    /// Records passing bytes; returns the frames that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> &[Seen] {
        let known = self.frames.len();
        self.partial.extend_from_slice(bytes);
        while !self.broken {
            match decode_frame(&mut self.partial, &Limits::default()) {
                Ok(Some(frame)) => {
                    let header = frame.header();
                    let strings = header.strings().map(|(key, value)| (copy(key), copy(value))).collect();
                    self.frames.push(Seen {
                        id: header.sequence_id,
                        kind: copy(header.int(key::FRAME_TYPE).unwrap_or_default()),
                        method: copy(header.to_method().unwrap_or_default()),
                        timeout: header.int(key::RPC_TIMEOUT).map(copy),
                        credits: header.int(key::FLOW_CREDITS).map(copy),
                        strings,
                        payload: frame.payload.clone(),
                    });
                }
                Ok(None) => break,
                Err(_) => self.broken = true,
            }
        }
        &self.frames[known..]
    }

    pub(crate) fn frames(&self) -> &[Seen] {
        &self.frames
    }

    /// Returns the frames of one stream.
    pub(crate) fn of(&self, id: i32) -> impl DoubleEndedIterator<Item = &Seen> {
        self.frames.iter().filter(move |seen| seen.id == id)
    }

    /// Returns the frames of one stream as letters: `HDDT`.
    pub(crate) fn word(&self, id: i32) -> String {
        self.of(id).map(Seen::letter).collect()
    }

    /// Returns the last frame of one type of one stream.
    pub(crate) fn last(&self, id: i32, frame_type: FrameType) -> Option<&Seen> {
        self.of(id).rfind(|seen| seen.frame_type() == Some(frame_type))
    }

    /// Checks the invariant: whole frames; per stream one header first, then data, then at most one trailer
    /// and at most one Rst, and nothing after them.
    pub(crate) fn check(&self, sender: Side) {
        assert!(!self.broken, "{sender:?} wrote an invalid frame");
        let mut words = BTreeMap::<i32, String>::new();
        for seen in &self.frames {
            words.entry(seen.id).or_default().push(seen.letter());
        }
        for (id, word) in words {
            assert!(is_legal(sender, id, &word), "{sender:?} wrote {word} on stream {id}");
        }
    }
}

fn is_legal(sender: Side, id: i32, word: &str) -> bool {
    if id == 0 {
        // Grants of credit, and a server's notice of its shutdown.
        return word.chars().all(|letter| letter == 'M' || letter == 'R' && sender == Side::Server);
    }
    let body = word.strip_prefix('H').map(|rest| rest.trim_start_matches('D'));
    match (sender, body) {
        // A cancel may follow the half close, and for peers that do not know Rst a half close follows the
        // cancel.
        (Side::Client, Some(end)) => matches!(end, "" | "T" | "R" | "RT" | "TR"),
        (Side::Client, None) => false,
        // A refused stream gets only an Rst, one that was canceled before its response only a trailer.
        (Side::Server, body) => matches!(body.unwrap_or(word), "" | "T" | "R"),
    }
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
