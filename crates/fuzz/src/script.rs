//! Parses an input as choices, numbers and bytes, sequentially from its front, so that a change of one byte
//! changes one step. Knows nothing of their use.

use arbitrary::Unstructured;

/// An input that is being read. After its end it returns zeroes.
#[derive(Debug)]
pub struct Script<'a>(Unstructured<'a>);

impl<'a> Script<'a> {
    /// Reads `input` from its first byte on.
    pub fn new(input: &'a [u8]) -> Self {
        Self(Unstructured::new(input))
    }

    /// Returns whether all of it was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the next byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Returns the next two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Returns the next four bytes.
    pub fn int(&mut self) -> i32 {
        let [high, low] = [self.short(), self.short()].map(u16::to_be_bytes);
        i32::from_be_bytes([high[0], high[1], low[0], low[1]])
    }

    /// Returns one of `table`.
    pub fn pick<T: Copy>(&mut self, table: &[T]) -> T {
        table[usize::from(self.byte()) % table.len()]
    }

    /// Returns the next `len` bytes, or the rest.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let len = len.min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }

    /// Returns up to 255 bytes, which follow their number.
    pub fn blob(&mut self) -> &'a [u8] {
        let len = self.byte().into();
        self.bytes(len)
    }

    /// Returns a blob, usually unchanged, sometimes repeated: long values from short inputs.
    pub fn swollen(&mut self) -> Vec<u8> {
        let times = self.pick(&[1, 1, 1, 1, 1, 1, 2, 17, 64, 128, 257, 300]);
        self.blob().repeat(times)
    }

    /// Returns a blob as text.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.blob()).into_owned()
    }

    /// Returns the rest.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }
}
