//! Timeouts in Kitex's texts. Owns Go's format of durations, used in the texts of 12014 and 12015.

use std::fmt;
use std::time::Duration;

/// A duration in Go's format: `1m30s`, `199.95ms`, `1.5µs`, `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 1_000, "µs"),
            1_000_000..1_000_000_000 => write_decimal(f, nanos, 1_000_000, "ms"),
            _ => self.write_clock(f),
        }
    }
}

impl GoDuration {
    fn write_clock(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let rest = Duration::new(seconds % 60, self.0.subsec_nanos());
        write_decimal(f, rest.as_nanos(), 1_000_000_000, "s")
    }
}

/// Writes `nanos` in `unit`s, without trailing zeros.
fn write_decimal(f: &mut fmt::Formatter<'_>, nanos: u128, unit: u128, name: &str) -> fmt::Result {
    let (whole, fraction) =
        (nanos.checked_div(unit).unwrap_or_default(), nanos.checked_rem(unit).unwrap_or_default());
    if fraction == 0 {
        return write!(f, "{whole}{name}");
    }
    let width = usize::try_from(unit.ilog10()).unwrap_or_default();
    let digits = format!("{fraction:0width$}");
    write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
}

/// The timeout of each Recv, and what happens to the stream when it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvTimeout {
    /// The longest wait for one message.
    pub timeout: Duration,
    /// `false`: the stream ends here and, by an Rst frame, at the peer. `true`: no frame is sent, the stream
    /// remains usable, and the error is [retryable](crate::StreamError::is_retryable).
    pub disable_cancel_remote: bool,
}

impl RecvTimeout {
    /// Returns a timeout that ends the stream.
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout, disable_cancel_remote: false }
    }
}

impl fmt::Display for RecvTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeout, disable_cancel_remote } = self;
        write!(f, "{{Timeout:{} DisableCancelRemote:{disable_cancel_remote}}}", GoDuration(*timeout))
    }
}
