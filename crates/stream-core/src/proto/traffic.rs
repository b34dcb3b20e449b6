//! A count of messages and their bytes.

/// Messages of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of messages.
    pub messages: u64,
    /// Bytes of their payloads, without headers.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, len: usize) {
        self.messages = self.messages.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
}
