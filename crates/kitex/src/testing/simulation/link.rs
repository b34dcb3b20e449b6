//! What a link between two hosts does to the bytes on it, without faults.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::random::Random;

/// The time after which TCP usually sends again what was lost.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A link between two hosts: how long bytes are under way, and in which pieces they arrive. Each connection has its own
/// random sequence. Bytes of one connection arrive in the order in which they were sent, as by TCP.
///
/// Default: 1 ms, whole writes, 64 KiB under way in each direction of a connection, no limit of bandwidth, nothing lost.
#[derive(Clone, Debug)]
pub struct Link {
    latency: RangeInclusive<Duration>,
    piece: RangeInclusive<usize>,
    bytes_per_second: u64,
    buffer: usize,
    lost: usize,
}

impl Default for Link {
    fn default() -> Self {
        let latency = Duration::from_millis(1);
        Self {
            latency: latency..=latency,
            piece: usize::MAX..=usize::MAX,
            bytes_per_second: 0,
            buffer: 65_536,
            lost: 0,
        }
    }
}

impl Link {
    /// Sets the time for which each piece is under way: one of this range, in whole milliseconds.
    #[must_use]
    pub fn latency(self, latency: RangeInclusive<Duration>) -> Self {
        Self { latency, ..self }
    }

    /// Sets the number of bytes that arrive at once: one of this range, for each piece.
    #[must_use]
    pub fn piece(self, bytes: RangeInclusive<usize>) -> Self {
        Self { piece: bytes, ..self }
    }

    /// Sets the bandwidth of each direction of each connection; 0 for no limit.
    #[must_use]
    pub fn bandwidth(self, bytes_per_second: u64) -> Self {
        Self { bytes_per_second, ..self }
    }

    /// Sets how many bytes of each direction of a connection are accepted before its reader has taken them; at least one. A
    /// writer waits for room.
    #[must_use]
    pub fn buffer(self, bytes: usize) -> Self {
        Self { buffer: bytes.max(1), ..self }
    }

    /// Sets that one piece of so many is lost, on average: it and all behind it arrive 200 ms later, when it was sent again.
    /// 0 for none.
    #[must_use]
    pub fn loss(self, one_in: usize) -> Self {
        Self { lost: one_in, ..self }
    }

    pub(super) fn capacity(&self) -> usize {
        self.buffer
    }

    /// Draws the size of the next piece.
    pub(super) fn next_piece(&self, random: &mut Random) -> usize {
        random.within(self.piece.clone()).max(1)
    }

    /// Draws how long one piece, or a packet of a handshake, is under way.
    pub(super) fn next_latency(&self, random: &mut Random) -> Duration {
        let lost = if random.once_in(self.lost) { RETRANSMISSION } else { Duration::ZERO };
        random.time(&self.latency) + lost
    }

    /// Returns how long the link is busy with `bytes`.
    pub(super) fn transmission(&self, bytes: usize) -> Duration {
        let millis = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1000);
        Duration::from_millis(millis.checked_div(self.bytes_per_second).unwrap_or_default())
    }
}
