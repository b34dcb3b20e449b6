//! What a connection holds of the memory budget: messages that h2 has received and no handle has taken, header lists of handlers, and
//! what waits to be written. h2 has no sum of what it has received, so it is measured: after so many bytes that were read, or after a
//! time, whichever is first.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use stream_core::MemoryBudget;
use stream_core::clock;
use stream_core::memory::{Pressure, Share, Shed};
use stream_core::rt::Timer;
use stream_core::sync::Mutex;

/// A stream that holds messages.
pub(crate) trait Holds {
    /// Returns the bytes that were received and not taken, and those that were not passed to h2.
    fn held(&self) -> usize;

    /// Returns the bytes that were passed to h2, and that it has not written.
    fn unsent(&self) -> usize;

    /// Ends the stream because the memory budget is used up, and drops what it holds.
    fn shed(&self);
}

/// The part of one connection in the budget.
#[derive(Debug)]
pub(crate) struct Memory {
    budget: MemoryBudget,
    counted: Mutex<Counted>,
    /// What all streams have passed to h2, and it has not written.
    unsent: Arc<AtomicUsize>,
    /// What the writer has, since the socket has no room.
    waiting: AtomicUsize,
    /// A stream has messages for which the peer's window has no room.
    blocked: AtomicBool,
    /// The connection is to be closed.
    ending: AtomicBool,
}

#[derive(Debug)]
struct Counted {
    share: Share,
    /// The number of streams that were ended because of the budget.
    ended: u64,
}

impl Memory {
    pub(crate) fn new(budget: &MemoryBudget) -> Self {
        Self {
            budget: budget.clone(),
            counted: Mutex::new(Counted { share: Share::new(budget), ended: 0 }),
            unsent: Arc::default(),
            waiting: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    fn is_limited(&self) -> bool {
        self.budget.limit().is_some()
    }

    /// Returns `message`, to be passed to h2. It is counted until h2 drops it, at `stream` too.
    pub(crate) fn count_unsent(&self, stream: &mut Option<Arc<Unsent>>, message: BytesMut) -> Bytes {
        let is_large = message.len() >= LARGE || self.waiting.load(Ordering::Relaxed) > 0;
        if !is_large || !self.is_limited() {
            return message.freeze();
        }
        let unsent = || Arc::new(Unsent { own: AtomicUsize::new(0), all: self.unsent.clone() });
        let unsent = stream.get_or_insert_with(unsent).clone();
        unsent.own.fetch_add(message.len(), Ordering::Relaxed);
        unsent.all.fetch_add(message.len(), Ordering::Relaxed);
        Bytes::from_owner(Message { bytes: message, unsent })
    }

    /// Sets the bytes that the writer has, which `waiting` returns, if there is a limit.
    pub(crate) fn set_waiting(&self, waiting: impl FnOnce() -> usize) {
        if self.is_limited() {
            self.waiting.store(waiting(), Ordering::Relaxed);
        }
    }

    /// Has the connection measured: messages of a stream wait for the peer's window.
    pub(crate) fn note_blocked(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// Returns what waits to be written in h2 and in the writer.
    pub(crate) fn unsent(&self) -> usize {
        if self.is_ending() {
            return 0;
        }
        self.unsent.load(Ordering::Relaxed).saturating_add(self.waiting.load(Ordering::Relaxed))
    }

    /// Returns whether the connection is to be closed, because it holds too much that belongs to no stream.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
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

    /// Ends the stream that holds most. What h2 holds of streams whose handler has returned ends with the connection only: that is
    /// to be closed if it is more than any stream holds, and more than `part`. `other` is what the connection holds in addition.
    /// Returns the bytes that are free now.
    pub(crate) fn shed<S: Holds + ?Sized>(&self, streams: &[Arc<S>], part: usize, other: usize) -> usize {
        let sum = || {
            let held: usize = streams.iter().map(|stream| stream.held()).sum();
            held.saturating_add(self.unsent()).saturating_add(other)
        };
        let before = sum();
        let unsent: usize = streams.iter().map(|stream| stream.unsent()).sum();
        let held = |stream: &Arc<S>| stream.held().saturating_add(stream.unsent());
        let fullest = streams.iter().map(|stream| (held(stream), stream)).max_by_key(|(held, _)| *held);
        let orphaned = self.unsent().saturating_sub(unsent);
        match fullest {
            fullest if orphaned > fullest.map_or(part, |(held, _)| held.max(part)) => {
                self.ending.store(true, Ordering::Relaxed);
            }
            Some((held, stream)) if held > 0 => stream.shed(),
            _ => return 0,
        }
        let mut counted = self.counted.lock();
        counted.ended = counted.ended.wrapping_add(1);
        drop(counted);
        let (left, _) = self.count(sum);
        before.saturating_sub(left)
    }
}

/// What one stream has passed to h2, and it has not written.
#[derive(Debug)]
pub(crate) struct Unsent {
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
}

impl Unsent {
    pub(crate) fn bytes(&self) -> usize {
        self.own.load(Ordering::Relaxed)
    }
}

/// Messages that h2 has, until they are written, or their stream is reset.
struct Message {
    bytes: BytesMut,
    unsent: Arc<Unsent>,
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.unsent.own.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.unsent.all.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Bytes from which messages are counted while the socket has room.
const LARGE: usize = 1024;
/// Bytes read after which a connection that holds nothing is measured.
const SOON: u64 = 16 * 1024;
/// What a connection holds that is measured again and again: less is not counted.
const HOLDS: usize = 16 * 1024;
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
    /// It is to be measured, whatever was read.
    asked: bool,
}

impl Gauge {
    /// Measures what the connection holds if it is time to, and ends streams if nothing is left of the budget. Returns how near
    /// the limit is, if it was measured. `read` is the number of bytes that were ever read, `other` what the connection holds beside
    /// its streams. With `watches`, a connection that reads and holds nothing is measured too. Called without a lock.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        memory: &Memory,
        read: u64,
        watches: bool,
        other: impl Fn() -> usize,
        measure: impl Fn() -> usize,
    ) -> Option<Pressure> {
        memory.budget.limit()?;
        let other = || other().saturating_add(memory.unsent());
        let watches = watches || other() >= HOLDS;
        self.asked |= memory.blocked.swap(false, Ordering::Relaxed);
        let mut pressure = None;
        loop {
            let grown = read.wrapping_sub(self.read);
            if grown < SOON && self.held < HOLDS && !watches && !self.asked {
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
            let (held, now) = memory.count(|| measure().saturating_add(other()));
            let changed = held != self.held;
            self.interval = if changed { INTERVAL } else { self.interval.saturating_mul(2).min(LONGEST) };
            (self.due, self.read, self.held, self.asked) = (None, read, held, false);
            pressure = Some(now);
            memory.budget.relieve();
        }
    }
}
