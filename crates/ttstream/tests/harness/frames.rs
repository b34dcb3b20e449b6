//! Frames as a test sees them: decoded and owned. Owns the rule that every direction of every stream
//! keeps, whatever happens; knows nothing of connections.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, Side};
use ttheader_codec::{FrameType, Head, Limits, decode_frame, encode_header, key};

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: i32,
    /// Value of the frame type key, whether such a type exists or not.
    pub(crate) kind: Bytes,
    pub(crate) method: Bytes,
    /// What is left until the deadline, as it stands there.
    pub(crate) timeout: Option<Bytes>,
    pub(crate) strings: Vec<(Bytes, Bytes)>,
    pub(crate) payload: Bytes,
}

impl Seen {
    /// A frame without strings and payload, of method `M`.
    pub(crate) fn new(id: i32, frame_type: FrameType) -> Self {
        Self::unknown(id, frame_type.as_bytes())
    }

    /// A frame of a type that perhaps does not exist.
    pub(crate) fn unknown(id: i32, kind: &'static [u8]) -> Self {
        let (kind, method) = (Bytes::from_static(kind), Bytes::from_static(b"M"));
        Self { id, kind, method, timeout: None, strings: Vec::new(), payload: Bytes::new() }
    }

    /// What a proxy sends that ends a stream.
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

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let strings = self.strings.iter().map(|(key, value)| (&key[..], &value[..]));
        let timeout = self.timeout.iter().map(|timeout| (key::RPC_TIMEOUT, &timeout[..]));
        let ints = [(key::FRAME_TYPE, &self.kind[..]), (key::TO_METHOD, &self.method[..])];
        let ints = ints.into_iter().chain(timeout);
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

    /// The error that a trailer or an Rst frame holds.
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

/// Takes frames out of the bytes that pass, and keeps them.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    partial: BytesMut,
    frames: Vec<Seen>,
    broken: bool,
}

impl Tap {
    /// Bytes have passed; gives the frames that they complete.
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

    /// The frames of one stream.
    pub(crate) fn of(&self, id: i32) -> impl DoubleEndedIterator<Item = &Seen> {
        self.frames.iter().filter(move |seen| seen.id == id)
    }

    /// The frames of one stream as a word: `HDDT`.
    pub(crate) fn word(&self, id: i32) -> String {
        self.of(id).map(Seen::letter).collect()
    }

    /// The last frame of one type of one stream.
    pub(crate) fn last(&self, id: i32, frame_type: FrameType) -> Option<&Seen> {
        self.of(id).rfind(|seen| seen.frame_type() == Some(frame_type))
    }

    /// The rule: whole frames; of each stream one header first, then data, then at most one trailer and
    /// at most one Rst, and nothing behind them.
    pub(crate) fn check(&self, sender: Side) {
        assert!(!self.broken, "{sender:?} wrote what is no frame");
        let mut words = BTreeMap::<i32, String>::new();
        for seen in &self.frames {
            words.entry(seen.id).or_default().push(seen.letter());
        }
        for (id, word) in words {
            assert!(is_legal(sender, &word), "{sender:?} wrote {word} on stream {id}");
        }
    }
}

fn is_legal(sender: Side, word: &str) -> bool {
    let body = word.strip_prefix('H').map(|rest| rest.trim_start_matches('D'));
    match (sender, body) {
        // A cancel may follow the half close, and for peers that know no Rst the half close follows it.
        (Side::Client, Some(end)) => matches!(end, "" | "T" | "R" | "RT" | "TR"),
        (Side::Client, None) => false,
        // A refused stream gets an Rst alone, one that was canceled before its answer a trailer alone.
        (Side::Server, body) => matches!(body.unwrap_or(word), "" | "T" | "R"),
    }
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
