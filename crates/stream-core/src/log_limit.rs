//! Rate limit of log lines that peers can cause.

use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// The largest number of lines of one kind in one window.
const LINES: u32 = 5;
/// The length of a window.
const WINDOW: Duration = Duration::from_secs(10);

/// Allows the first lines of each window, and counts the others.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl LogLimit {
    /// Returns a limit of which no line was used.
    pub const fn new() -> Self {
        Self(Mutex::new(Window { began: None, lines: 0, suppressed: 0 }))
    }

    /// Returns whether a line may be logged now: then the number of lines that were suppressed since the last one.
    pub fn allows(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            (window.began, window.lines) = (Some(now), 0);
        }
        if window.lines >= LINES {
            window.suppressed = window.suppressed.saturating_add(1);
            return None;
        }
        window.lines = window.lines.saturating_add(1);
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_limit_logs_five_lines_of_a_burst_and_counts_the_rest() {
        let (limit, began) = (LogLimit::default(), Instant::now());
        let logged = (0..200).filter(|_| limit.allows(began).is_some()).count();
        assert_eq!(logged, 5);
        assert_eq!(limit.allows(began + WINDOW / 2), None);
        assert_eq!(limit.allows(began + WINDOW), Some(196), "the next line says how many there were");
        assert_eq!(limit.allows(began + WINDOW), Some(0));
    }
}
