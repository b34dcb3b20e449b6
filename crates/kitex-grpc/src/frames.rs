//! Where the frames of HTTP/2 begin and end in a byte stream, and what the frames of our own hold. Owns the frame
//! header; knows nothing of what any frame means.

use bytes::{BufMut, BytesMut};

/// The type of our frames, one of those that RFC 9113 leaves for experiments. Peers pass over types that they do not
/// know.
const EXTENSION: u8 = 0xf5;
/// Bytes of the payload of such a frame at most; a longer one is passed over.
pub(crate) const MAX_PAYLOAD: usize = 12 * 1024;

/// Bytes that a client sends before its first frame.
const PREFACE: usize = 24;
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Adds a frame of our own to `out`.
pub(crate) fn put(out: &mut BytesMut, stream: u32, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let [_, high, middle, low] = len.to_be_bytes();
    out.put_slice(&[high, middle, low, EXTENSION, 0]);
    out.put_u32(stream);
    out.put_slice(payload);
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A frame of our own, on this stream, with this payload.
    Own(u32, &'a [u8]),
    /// The end of a block of headers.
    Headers(Headers),
}

/// A block of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Headers {
    pub(crate) stream: u32,
    /// Nothing follows it on its stream.
    pub(crate) ends_stream: bool,
    /// How many of the scanned bytes follow it.
    pub(crate) behind: usize,
}

/// Follows one direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Bytes that are left of the preface, or of a payload.
    left: usize,
    header: Vec<u8>,
    /// A block of headers goes on in the next frame.
    in_headers: bool,
    /// The block of headers that is being read.
    headers: Option<Headers>,
    /// The frame of our own that is being read: its stream and payload.
    extension: Option<(u32, Vec<u8>)>,
}

impl Scanner {
    /// Returns a scanner of the direction to the server.
    pub(crate) fn after_preface() -> Self {
        Self { left: PREFACE, ..Self::default() }
    }

    /// Returns whether a frame may be put here.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.left == 0 && self.header.is_empty() && !self.in_headers
    }

    /// Returns how many bytes may follow before it is to be asked again whether a frame may be put there.
    pub(crate) fn until_boundary(&self) -> usize {
        if self.left > 0 { self.left } else { HEADER.saturating_sub(self.header.len()) }
    }

    /// Follows `bytes`. Calls `found` with each frame of our own and each end of a block of headers.
    pub(crate) fn scan(&mut self, bytes: &[u8], found: impl FnMut(Found<'_>)) {
        let mut most = usize::MAX;
        self.scan_some(bytes, &mut most, found);
    }

    /// As [`scan`](Self::scan), but stops after so many frames that are not data, which are subtracted from `most`. Returns
    /// the number of bytes that were followed.
    pub(crate) fn scan_some(
        &mut self,
        bytes: &[u8],
        most: &mut usize,
        mut found: impl FnMut(Found<'_>),
    ) -> usize {
        let mut left = bytes;
        while !left.is_empty() && (*most > 0 || !self.is_between_frames()) {
            let len = self.until_boundary().min(left.len());
            let Some((taken, rest)) = left.split_at_checked(len) else { break };
            left = rest;
            if self.left > 0 {
                self.left = self.left.saturating_sub(len);
                self.extension.iter_mut().for_each(|(_, payload)| payload.extend_from_slice(taken));
            } else {
                self.header.extend_from_slice(taken);
                *most = most.saturating_sub(self.read_header().into());
            }
            if self.left > 0 {
                continue;
            }
            if let Some((stream, payload)) = self.extension.take() {
                found(Found::Own(stream, &payload));
            }
            if self.header.is_empty()
                && let Some(headers) = self.headers.take_if(|_| !self.in_headers)
            {
                found(Found::Headers(Headers { behind: left.len(), ..headers }));
            }
        }
        bytes.len().saturating_sub(left.len())
    }

    /// Reads the frame header, if it is complete. Returns whether it is that of a frame that is not data.
    fn read_header(&mut self) -> bool {
        let Some(&[high, middle, low, kind, flags, a, b, c, d]) = self.header.first_chunk::<HEADER>() else {
            return false;
        };
        self.header.clear();
        self.left = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
        let stream = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            self.in_headers = flags & END_HEADERS == 0;
            // The first frame of a block has that flag.
            let ends_stream = flags & END_STREAM != 0 && kind == HEADERS
                || kind == CONTINUATION && self.headers.is_some_and(|headers| headers.ends_stream);
            self.headers = Some(Headers { stream, ends_stream, behind: 0 });
        } else if kind == EXTENSION && self.left <= MAX_PAYLOAD {
            self.extension = Some((stream, Vec::new()));
        }
        kind != DATA
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = BytesMut::new();
        put(&mut frame, 1, payload);
        frame[3] = kind;
        frame[4] = flags;
        frame.to_vec()
    }

    #[test]
    fn frames_of_our_own_are_found_in_chunks_of_any_size() {
        let mut own = BytesMut::new();
        put(&mut own, 0, b"");
        put(&mut own, 7, b"cancel");
        put(&mut own, 9, &[1; MAX_PAYLOAD + 1]);
        let other = [frame(0, 1, &[EXTENSION; 40]), frame(HEADERS, 1, b"x"), frame(CONTINUATION, 4, b"y")];
        let own_block = frame(HEADERS, END_HEADERS, b"z");
        let bytes = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            other.concat(),
            own.to_vec(),
            other.concat(),
            own_block.clone(),
        ]
        .concat();
        for step in [1, 2, 9, 10, 100, bytes.len()] {
            let mut scanner = Scanner::after_preface();
            let (mut own, mut headers, mut scanned) = (Vec::new(), Vec::new(), 0);
            for chunk in bytes.chunks(step) {
                scanned += chunk.len();
                scanner.scan(chunk, |found| match found {
                    Found::Own(stream, payload) => own.push((stream, payload.to_vec())),
                    Found::Headers(Headers { stream, ends_stream, behind }) => {
                        headers.push((stream, ends_stream, scanned - behind));
                    }
                });
            }
            assert_eq!(own, [(0, Vec::new()), (7, b"cancel".to_vec())], "{step}");
            let first = PREFACE + other.concat().len();
            let last = bytes.len() - own_block.len();
            assert_eq!(headers, [(1, true, first), (1, true, last), (1, false, bytes.len())], "{step}");
            assert!(scanner.is_between_frames());
        }
    }

    #[test]
    fn a_scan_stops_after_a_number_of_frames_that_are_not_data() {
        let (data, block) = (frame(0, 0, &[1; 100]), frame(HEADERS, 0, &[2; 20]));
        let (rest, reset) = (frame(CONTINUATION, END_HEADERS, &[3; 10]), frame(3, 0, &[0; 4]));
        let bytes = [&data[..], &block, &rest, &data, &reset, &reset].concat();
        let to_headers = [&data, &block, &rest].map(Vec::len).iter().sum::<usize>();
        let to_reset = to_headers + data.len() + reset.len();
        // A block of headers is not parted.
        let rows =
            [(0, 0), (1, to_headers), (2, to_headers), (3, to_reset), (4, bytes.len()), (5, bytes.len())];
        for (most, followed) in rows {
            let (mut scanner, mut left) = (Scanner::default(), most);
            assert_eq!(scanner.scan_some(&bytes, &mut left, |_| {}), followed, "{most}");
            assert!(scanner.is_between_frames());
            assert_eq!(left, most.saturating_sub(4), "{most}");
        }
    }

    #[test]
    fn a_frame_is_put_between_frames_and_never_into_a_block_of_headers() {
        let bytes = [
            frame(0, 0, b"abc"),
            frame(HEADERS, 0, b"x"),
            frame(CONTINUATION, 0, b""),
            frame(CONTINUATION, END_HEADERS, b"y"),
        ];
        let mut scanner = Scanner::default();
        let mut places = Vec::new();
        let all = bytes.concat();
        for at in 0..all.len() {
            if scanner.is_between_frames() {
                places.push(at);
            }
            assert!(scanner.until_boundary() > 0);
            scanner.scan(&all[at..=at], |_| {});
        }
        assert_eq!(places, [0, bytes[0].len()]);
        assert!(scanner.is_between_frames());
    }
}
