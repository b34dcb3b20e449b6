//! Writes thrift binary. Owns the form of numbers, lengths and field heads; the room is reserved before.

use bytes::{BufMut, BytesMut};

/// Appends one payload to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut BytesMut,
}

impl<'a> Writer<'a> {
    /// Returns a writer to the end of `buf`.
    pub fn new(buf: &'a mut BytesMut) -> Self {
        Self { buf }
    }

    /// Ends a struct.
    #[inline]
    pub fn stop(&mut self) {
        self.array([0]);
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.buf.put_slice(&bytes);
    }

    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.buf.put_slice(bytes);
    }

    /// A length or a count. The whole payload is shorter than `i32::MAX`, and an element takes a byte at least.
    #[inline]
    pub(crate) fn count(&mut self, count: usize) {
        self.array(i32::try_from(count).unwrap_or(i32::MAX).to_be_bytes());
    }
}
