//! Splits a body into server-sent events. Owns line ends, fields and the bound of an event; knows nothing of
//! HTTP or of the content of events.
//!
//! Only `data` is kept: the protocol above uses no event names, ids or retry times. Bytes stay bytes
//! until an event is whole, so a chunk may end anywhere, also inside a character.

#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes};

/// The largest event in bytes, including the line that is being read.
pub(crate) const MAX_EVENT_LEN: usize = 1024 * 1024;

/// An event is longer than [`MAX_EVENT_LEN`]. Nothing can be read after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// The events of one body: feed a chunk, then take events until there are none.
#[derive(Default)]
pub(crate) struct Events {
    chunk: Bytes,
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    after_cr: bool,
    after_first_line: bool,
}

impl Events {
    /// Adds the next bytes of the body. The chunk before must have been used up.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "take events until there are none before the next chunk");
        self.chunk = chunk;
    }

    /// Returns the data of the next whole event, or `None` if more bytes are needed.
    pub(crate) fn next_event(&mut self) -> Result<Option<Vec<u8>>, TooLarge> {
        while self.fill_line()? {
            let line = std::mem::take(&mut self.line);
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
            } else {
                self.add(&line);
            }
        }
        Ok(None)
    }

    /// Moves bytes from the chunk to the line; true once the line is whole. A line ends with CR LF, LF
    /// or CR. The LF that belongs to a CR may come in the next chunk.
    fn fill_line(&mut self) -> Result<bool, TooLarge> {
        if self.after_cr && !self.chunk.is_empty() {
            self.after_cr = false;
            if self.chunk.first() == Some(&b'\n') {
                self.chunk.advance(1);
            }
        }
        let end = self.chunk.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let taken = self.chunk.split_to(end.unwrap_or(self.chunk.len()));
        if self.line.len() + self.data.as_ref().map_or(0, Vec::len) + taken.len() > MAX_EVENT_LEN {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(&taken);
        if end.is_some() {
            self.after_cr = self.chunk.get_u8() == b'\r';
        }
        Ok(end.is_some())
    }

    /// Adds a line to the event: a field, or a comment, which starts with its colon.
    fn add(&mut self, line: &[u8]) {
        let first = !std::mem::replace(&mut self.after_first_line, true);
        let line = if first { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        let colon = line.iter().position(|&byte| byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        if name != b"data" {
            return;
        }
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            none => *none = Some(value.to_vec()),
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
