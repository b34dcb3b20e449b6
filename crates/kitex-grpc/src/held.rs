//! What a connection holds of the memory budget: messages that h2 has received and no handle has taken. h2 has no sum of it, so
//! it is measured: after so many bytes that were read, or after a time, whichever is first.

use std::sync::{Arc, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use stream_core::MemoryBudget;
use stream_core::clock;
use stream_core::memory::{Pressure, Share, Shed};
use stream_core::rt::Timer;
use stream_core::sync::Mutex;

/// A stream that holds messages.
pub(crate) trait Holds {
    /// Returns the bytes that were received and not taken.
    fn held(&self) -> usize;

    /// Ends the stream because the memory budget is used up, and drops what it holds.
    fn shed(&self);
}

/// The part of one connection in the budget.
#[derive(Debug)]
pub(crate) struct Memory {
    budget: MemoryBudget,
    counted: Mutex<Counted>,
}

#[derive(Debug)]
struct Counted {
    share: Share,
    /// The number of streams that were ended because of the budget.
    ended: u64,
}

impl Memory {
    pub(crate) fn new(budget: &MemoryBudget) -> Self {
        Self { budget: budget.clone(), counted: Mutex::new(Counted { share: Share::new(budget), ended: 0 }) }
    }

    pub(crate) fn register(&self, shed: Weak<dyn Shed>) {
        self.counted.lock().share.register(shed);
    }

    /// Counts what `measure` returns. Measures again if a stream was ended meanwhile: what it held would be counted, and others
    /// would be ended for it.
    fn count(&self, measure: impl Fn() -> usize) -> (usize, Pressure) {
        loop {
            let ended = self.counted.lock().ended;
            let held = measure();
            let mut counted = self.counted.lock();
            if counted.ended == ended {
                return (held, counted.share.set(held));
            }
        }
    }

    /// Ends the stream that holds most. Returns the bytes that are free now.
    pub(crate) fn shed<S: Holds + ?Sized>(&self, streams: &[Arc<S>]) -> usize {
        let held: Vec<usize> = streams.iter().map(|stream| stream.held()).collect();
        let fullest = held.iter().zip(streams).max_by_key(|(held, _)| **held);
        let Some((_, stream)) = fullest.filter(|(held, _)| **held > 0) else { return 0 };
        stream.shed();
        let mut counted = self.counted.lock();
        counted.ended = counted.ended.wrapping_add(1);
        drop(counted);
        let (left, _) = self.count(|| streams.iter().map(|stream| stream.held()).sum());
        held.iter().sum::<usize>().saturating_sub(left)
    }
}

/// Bytes read after which a connection that holds nothing is measured.
const SOON: u64 = 16 * 1024;
/// Bytes read after which it is measured at once.
const AT_ONCE: u64 = 1024 * 1024;
/// The time between two measurements, doubled up to the longest while nothing changes.
const INTERVAL: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Decides when to measure.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    timer: Timer,
    due: Option<Instant>,
    interval: Duration,
    /// Bytes that had been read at the last measurement, and what was held.
    read: u64,
    held: usize,
}

impl Gauge {
    /// Measures what the connection holds if it is time to, and ends streams if nothing is left of the budget. Returns how near
    /// the limit is, if it was measured. `read` is the number of bytes that were ever read. With `watches`, a connection that
    /// reads and holds nothing is measured too. Called without a lock.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        memory: &Memory,
        read: u64,
        watches: bool,
        measure: impl Fn() -> usize,
    ) -> Option<Pressure> {
        memory.budget.limit()?;
        let mut pressure = None;
        loop {
            let grown = read.wrapping_sub(self.read);
            if grown < SOON && self.held == 0 && !watches {
                return pressure;
            }
            if grown < AT_ONCE {
                let now = clock::now();
                let due = *self
                    .due
                    .get_or_insert_with(|| now.checked_add(self.interval.max(INTERVAL)).unwrap_or(now));
                if self.timer.poll_until(Some(due), cx).is_pending() {
                    return pressure;
                }
            }
            let (held, now) = memory.count(&measure);
            let changed = held != self.held;
            self.interval = if changed { INTERVAL } else { self.interval.saturating_mul(2).min(LONGEST) };
            (self.due, self.read, self.held) = (None, read, held);
            pressure = Some(now);
            memory.budget.relieve();
        }
    }
}
