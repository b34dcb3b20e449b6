//! The limits of decoding one payload, and their reasons.

/// Limits of decoding one payload.
///
/// Decoding takes at most `allowance + expansion x payload` bytes of memory for structs and containers, and
/// 1 x payload for strings and binaries that are copied.
///
/// ```
/// use kitex_thrift::Limits;
///
/// let limits = Limits::new().depth(1_000).allowance(256 << 20);
/// assert_eq!(limits.expansion, Limits::default().expansion);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The nesting depth of structs and containers, decoded or skipped. A list and the struct in it are two levels.
    /// Default: 256.
    ///
    /// In any case decoding uses at most 512 KiB of stack; a value that needs more is refused as too deep.
    pub depth: usize,
    /// Bytes of memory that structs and containers may take for each byte of payload. Default: 16.
    pub expansion: usize,
    /// Bytes of memory that structs and containers may take in addition, for a payload of any size. Default: 64 MiB, enough for
    /// 80,000 rows of 20 optional strings of which one is set. An element may be a single byte on the wire
    /// and hundreds in memory, so a count of elements would bound nothing.
    pub allowance: usize,
}

impl Limits {
    /// Returns the default limits.
    pub const fn new() -> Self {
        Self { depth: 256, expansion: 16, allowance: 64 << 20 }
    }

    /// Sets how many levels of structs and containers may nest.
    #[must_use]
    pub const fn depth(mut self, levels: usize) -> Self {
        self.depth = levels;
        self
    }

    /// Sets how many bytes of memory one byte of payload may take.
    #[must_use]
    pub const fn expansion(mut self, times: usize) -> Self {
        self.expansion = times;
        self
    }

    /// Sets how many bytes of memory any payload may take.
    #[must_use]
    pub const fn allowance(mut self, bytes: usize) -> Self {
        self.allowance = bytes;
        self
    }

    /// Returns the bytes of memory that the structs and containers of a payload may take together.
    pub(crate) fn memory(&self, payload: usize) -> usize {
        self.expansion.saturating_mul(payload).saturating_add(self.allowance)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
