//! Writes thrift binary by hand, right or wrong.

use bytes::{BufMut, Bytes};

pub(crate) const BOOL: u8 = 2;
pub(crate) const I8: u8 = 3;
pub(crate) const DOUBLE: u8 = 4;
pub(crate) const I16: u8 = 6;
pub(crate) const I32: u8 = 8;
pub(crate) const I64: u8 = 10;
pub(crate) const BINARY: u8 = 11;
pub(crate) const STRUCT: u8 = 12;
pub(crate) const MAP: u8 = 13;
pub(crate) const SET: u8 = 14;
pub(crate) const LIST: u8 = 15;
pub(crate) const UUID: u8 = 16;

/// Bytes that grow.
#[derive(Clone, Default)]
pub(crate) struct Wire(pub(crate) Vec<u8>);

impl Wire {
    pub(crate) fn field(mut self, ttype: u8, id: i16) -> Self {
        self.0.put_u8(ttype);
        self.0.put_i16(id);
        self
    }

    pub(crate) fn u8(mut self, byte: u8) -> Self {
        self.0.put_u8(byte);
        self
    }

    pub(crate) fn i32(mut self, number: i32) -> Self {
        self.0.put_i32(number);
        self
    }

    pub(crate) fn i64(mut self, number: i64) -> Self {
        self.0.put_i64(number);
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.put_slice(bytes);
        self
    }

    pub(crate) fn text(self, text: &[u8]) -> Self {
        self.i32(i32::try_from(text.len()).unwrap()).bytes(text)
    }

    /// The head of a list or set.
    pub(crate) fn list(self, ttype: u8, count: i32) -> Self {
        self.u8(ttype).i32(count)
    }

    /// The head of a map.
    pub(crate) fn map(self, key: u8, value: u8, count: i32) -> Self {
        self.u8(key).u8(value).i32(count)
    }

    pub(crate) fn times(mut self, count: usize, bytes: &[u8]) -> Self {
        self.0.extend(bytes.repeat(count));
        self
    }

    pub(crate) fn stop(self) -> Self {
        self.u8(0)
    }

    pub(crate) fn done(self) -> Bytes {
        self.0.into()
    }
}

pub(crate) fn wire() -> Wire {
    Wire::default()
}
