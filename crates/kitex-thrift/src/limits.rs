//! What a peer may make us spend on one payload. Owns the numbers and their reasons; decodes nothing.

/// Bounds on what decoding one payload may cost.
///
/// With the defaults the heap's peak stays within `8 x max(payload, 4 MiB)`: [`allowance`](Self::allowance) +
/// 6 x payload for containers and boxes, and at most 1 x payload for strings and binaries that are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deep structs and containers may nest, both in what is decoded and in what is skipped. Default 64,
    /// the limit of Kitex's skip. Each level costs stack, and a stack that overflows ends the process.
    pub depth: usize,
    /// Bytes of memory that the elements of containers may take for each byte of payload. Default 6: what a
    /// list of dense structs takes (an empty string field is 7 bytes on the wire and 40 in memory). An
    /// element may be a single byte on the wire and hundreds in memory, so counting elements alone would
    /// bound nothing.
    pub expansion: usize,
    /// Bytes of memory that the elements of containers may take whatever the payload's size. Default 4 MiB,
    /// so that small payloads with sparse structs or short map entries, which expand most, are never refused.
    pub allowance: usize,
}

impl Limits {
    /// The bytes of memory that the elements of a payload's containers may take together.
    pub(crate) fn memory(&self, payload: usize) -> usize {
        self.expansion.saturating_mul(payload).saturating_add(self.allowance)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, expansion: 6, allowance: 4 << 20 }
    }
}
