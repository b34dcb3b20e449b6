//! The memory budget of a process: the bytes that its connections hold because their consumers have not taken them, in all
//! together, and what is done as they come near to the limit. Knows no stream: each connection reports what it holds by its
//! [`Share`].

mod refusals;
mod system;

use std::collections::BinaryHeap;
use std::fmt;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

#[cfg(loom)]
use ::loom::sync::atomic::{AtomicUsize, Ordering};
use slab::Slab;

use self::refusals::Refusals;
use crate::guard::{guarded, report};
use crate::sync::Mutex;

/// The memory that connections may hold for their peers, together: messages that were received and not yet taken, the headers of
/// running handlers, and what waits to be written. Clones are the same budget; servers and clients may share one.
///
/// - From 80 % on, a server refuses new streams and calls with [`TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS).
/// - From 90 % on, receive windows are a quarter, and a server closes new connections.
/// - From 95 % on, the streams that hold most end with [`SLOW_CONSUMER`](kerrors::Code::SLOW_CONSUMER), and what they hold is
///   dropped, until there is less. What a stream holds that its peer has ended already is not dropped.
/// - From 80 % on, they do so too once a server has refused something for 30 s, with less than 30 s between two refusals: memory that
///   is neither taken nor given back does not keep others out for longer.
///
/// A connection counts with 4 KiB at least. What it holds is counted in steps of 16 KiB.
///
/// ```
/// use stream_core::MemoryBudget;
///
/// let budget = MemoryBudget::new(256 * 1024 * 1024);
/// assert_eq!((budget.limit(), budget.used()), (Some(268_435_456), 0));
/// assert_eq!(MemoryBudget::unlimited().limit(), None);
/// ```
#[derive(Clone)]
pub struct MemoryBudget(Option<Arc<Inner>>);

struct Inner {
    limit: usize,
    /// The parts of the limit from which there is pressure.
    high: usize,
    tight: usize,
    full: usize,
    used: AtomicUsize,
    /// The value of `used` up to which nothing is ended: at less, nothing was found.
    stuck: AtomicUsize,
    refusals: Refusals,
    /// The requests to end streams since the task began that does so for all.
    requests: AtomicUsize,
    holders: Mutex<Slab<Holder>>,
}

/// One connection.
#[derive(Clone)]
struct Holder {
    held: Arc<AtomicUsize>,
    shed: Weak<dyn Shed>,
}

/// A connection that can end a stream to free memory.
#[doc(hidden)]
pub trait Shed: Send + Sync {
    /// Ends the stream that holds most, and drops what it holds. Closes the connection instead if a part of a frame is more than
    /// that, and more than `part`. Returns the number of bytes that are free now.
    fn shed(&self, part: usize) -> usize;
}

/// How near a budget is to its limit.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    None,
    /// No new stream is accepted.
    High,
    /// No new connection is accepted, and receive windows are smaller.
    Tight,
    /// The streams that hold most end.
    Full,
}

impl Pressure {
    /// Returns `window`, or a quarter of it under pressure; at least 1.
    pub fn shrink(self, window: usize) -> usize {
        let shift = if self >= Self::Tight { SHRINK } else { 0 };
        (window >> shift).max(1)
    }

    /// As [`shrink`](Self::shrink), for a window of another type.
    pub fn shrink_u32(self, window: u32) -> u32 {
        let shift = if self >= Self::Tight { SHRINK } else { 0 };
        (window >> shift).max(1)
    }
}

/// The text of what ends or is refused because of the budget.
#[doc(hidden)]
pub const NO_MEMORY: &str = "the memory budget of the process is used up";

/// What a connection counts with at least.
const BASE: usize = 4 * 1024;
/// The step in which it is counted what a connection holds, so that few messages change the sum.
const STEP: usize = 16 * 1024;
/// The factor of windows under pressure, as a power of two: a quarter.
const SHRINK: u32 = 2;
/// The part of the memory that the process may use.
const PART: usize = 4;

/// The bytes of a part of a frame for which a connection is closed: more than a read usually leaves.
const LARGE_PART: usize = 128 * 1024;

impl MemoryBudget {
    /// Returns a budget of `bytes`; without a limit if that is [`usize::MAX`].
    pub fn new(bytes: usize) -> Self {
        let part = |percent: usize| (bytes / 100).saturating_mul(percent).max(1);
        let inner = || Inner {
            limit: bytes,
            high: part(80),
            tight: part(90),
            full: part(95),
            used: AtomicUsize::new(0),
            stuck: AtomicUsize::new(0),
            refusals: Refusals::default(),
            requests: AtomicUsize::new(0),
            holders: Mutex::default(),
        };
        Self((bytes != usize::MAX).then(|| Arc::new(inner())))
    }

    /// Returns a budget without a limit, which costs nothing.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Returns the budget that all servers and clients of the process have if none is set: a quarter of the memory that the
    /// process's cgroup may use (v2 `memory.max`, v1 `memory.limit_in_bytes`), or that the machine has if there is no such limit.
    /// Both are read once. Unlimited on systems other than Linux.
    pub fn process() -> Self {
        static PROCESS: OnceLock<MemoryBudget> = OnceLock::new();
        // What outlives a model may have none of its locks.
        let limit = || if cfg!(loom) { None } else { system::limit() };
        let quarter = |limit: usize| limit.checked_div(PART).unwrap_or_default();
        PROCESS
            .get_or_init(|| limit().map_or_else(Self::unlimited, |limit| Self::new(quarter(limit))))
            .clone()
    }

    /// Returns the limit in bytes; `None` if there is none.
    pub fn limit(&self) -> Option<usize> {
        self.0.as_ref().map(|inner| inner.limit)
    }

    /// Returns the number of bytes that are counted now; 0 without a limit.
    pub fn used(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.used())
    }

    /// Returns how near the limit is.
    #[doc(hidden)]
    pub fn pressure(&self) -> Pressure {
        self.0.as_ref().map_or(Pressure::None, |inner| inner.pressure())
    }

    /// Returns the limit if a new stream is to be refused because of it. Ends other streams if such refusals have lasted for too
    /// long, so it is called without a lock.
    #[doc(hidden)]
    #[inline]
    pub fn refuses_streams(&self, now: impl FnOnce() -> Instant) -> Option<usize> {
        let inner = self.0.as_ref()?;
        if inner.used() < inner.high { None } else { inner.refuse(inner.high, now()) }
    }

    /// As [`refuses_streams`](Self::refuses_streams), for a new connection. Later than streams, whose refusal has a code.
    #[doc(hidden)]
    pub fn refuses_connections(&self, now: impl FnOnce() -> Instant) -> Option<usize> {
        let inner = self.0.as_ref()?;
        if inner.used() < inner.tight { None } else { inner.refuse(inner.tight, now()) }
    }

    /// Ends streams if there is nothing left, beginning with those of the connection that holds most. Called without a lock.
    #[doc(hidden)]
    #[inline]
    pub fn relieve(&self) {
        if let Some(inner) = self.0.as_ref().filter(|inner| inner.used() >= inner.full) {
            inner.relieve();
        }
    }
}

impl Inner {
    fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    fn pressure(&self) -> Pressure {
        match self.used() {
            used if used >= self.full => Pressure::Full,
            used if used >= self.tight => Pressure::Tight,
            used if used >= self.high => Pressure::High,
            _ => Pressure::None,
        }
    }

    /// Counts a refusal. Returns the limit, unless less than `from` is used once streams were ended for those that were refused.
    #[cold]
    fn refuse(&self, from: usize, now: Instant) -> Option<usize> {
        if self.refusals.add(now) {
            let _ = self.end_down_to(self.high, LARGE_PART) || self.end_down_to(self.high, 0);
        }
        (self.used() >= from).then_some(self.limit)
    }

    /// Ends streams until there is room. One task does it at a time, so that no more are ended than is necessary; it begins
    /// again if others have asked meanwhile.
    #[cold]
    fn relieve(&self) {
        if self.is_stuck() || self.requests.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut seen = 1;
        loop {
            self.end_largest();
            match self.requests.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(requests) => seen = requests,
            }
        }
    }

    fn is_stuck(&self) -> bool {
        self.used() <= self.stuck.load(Ordering::Relaxed)
    }

    fn end_largest(&self) {
        if self.is_stuck() {
            return;
        }
        if self.end_down_to(self.full, LARGE_PART) {
            return;
        }
        // Smaller parts of frames only at the limit itself.
        self.end_down_to(self.limit, 0);
        // Connections are not searched again for each step that is added.
        self.stuck.store(self.used().saturating_add(self.limit / 100), Ordering::Relaxed);
    }

    /// Ends streams, and connections with a part of a frame of more than `part`, until less than `limit` is used. Returns `false`
    /// if there is more, and nothing is left to be ended.
    fn end_down_to(&self, limit: usize, part: usize) -> bool {
        let holders: Vec<Holder> = self.holders.lock().iter().map(|(_, holder)| holder.clone()).collect();
        let held = holders.iter().enumerate().map(|(at, holder)| (holder.held(), at));
        let mut by_size: BinaryHeap<(usize, usize)> = held.filter(|(held, _)| *held > 0).collect();
        while self.used() >= limit {
            let Some((_, at)) = by_size.pop() else { return false };
            let Some(holder) = holders.get(at) else { continue };
            if holder.shed.upgrade().is_some_and(|connection| shed(&*connection, part) > 0) {
                by_size.push((holder.held(), at));
            }
        }
        true
    }
}

impl Holder {
    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// As [`Shed::shed`]. A panic of what it wakes ends nothing else.
fn shed(holder: &dyn Shed, part: usize) -> usize {
    guarded(|| holder.shed(part)).unwrap_or_else(|text| {
        report("the end of a stream because of the memory budget", &text);
        0
    })
}

impl Default for MemoryBudget {
    /// Returns [`MemoryBudget::process`].
    fn default() -> Self {
        Self::process()
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget").field("limit", &self.limit()).field("used", &self.used()).finish()
    }
}

/// What one connection holds of a budget. Given back when dropped.
#[doc(hidden)]
#[derive(Debug)]
pub struct Share {
    budget: MemoryBudget,
    /// What is counted, without the base.
    counted: usize,
    /// The same, for the search of the connection that holds most. `None` without a limit.
    held: Option<Arc<AtomicUsize>>,
    key: Option<usize>,
    /// What it holds changes nothing while it is in `low..=low + span`.
    low: usize,
    span: usize,
}

impl Share {
    /// Returns the share of a new connection.
    pub fn new(budget: &MemoryBudget) -> Self {
        if let Some(budget) = &budget.0 {
            budget.used.fetch_add(BASE, Ordering::AcqRel);
        }
        let span = if budget.0.is_some() { STEP.saturating_sub(1) } else { usize::MAX };
        let held = budget.0.as_ref().map(|_| Arc::default());
        Self { budget: budget.clone(), counted: 0, held, key: None, low: 0, span }
    }

    /// Sets what ends streams of the connection.
    pub fn register(&mut self, shed: Weak<dyn Shed>) {
        if let (Some(budget), Some(held), None) = (&self.budget.0, &self.held, self.key) {
            let holder = Holder { held: held.clone(), shed };
            self.key = Some(budget.holders.lock().insert(holder));
        }
    }

    /// Returns whether the budget has a limit: otherwise there is nothing to count.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.budget.0.is_some()
    }

    /// Returns whether [`set`](Self::set) has to be called, now that the connection holds `bytes`.
    #[inline]
    pub fn is_off(&self, bytes: usize) -> bool {
        bytes.wrapping_sub(self.low) > self.span
    }

    /// Returns the least and the most that the connection may hold before [`set`](Self::set) has to be called.
    pub fn bounds(&self) -> (usize, usize) {
        (self.low, self.low.saturating_add(self.span))
    }

    /// Counts what the connection holds. Returns how near the limit is now.
    #[cold]
    pub fn set(&mut self, bytes: usize) -> Pressure {
        let Some(budget) = &self.budget.0 else { return Pressure::None };
        let counted = bytes.saturating_sub(bytes % STEP);
        // Before the sum: who sees the sum finds the connection.
        if let Some(held) = &self.held {
            held.store(counted, Ordering::Relaxed);
        }
        let used = &budget.used;
        match counted.checked_sub(self.counted) {
            Some(more) => used.fetch_add(more, Ordering::AcqRel),
            None => used.fetch_sub(self.counted.saturating_sub(counted), Ordering::AcqRel),
        };
        self.counted = counted;
        // One step down is accepted, so that a connection that changes around a step costs nothing.
        self.low = counted.saturating_sub(STEP);
        self.span = counted.saturating_sub(self.low).saturating_add(STEP).saturating_sub(1);
        let pressure = budget.pressure();
        if pressure < Pressure::Full {
            budget.stuck.store(0, Ordering::Relaxed);
        }
        pressure
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(budget) = &self.budget.0 else { return };
        budget.used.fetch_sub(self.counted.saturating_add(BASE), Ordering::AcqRel);
        let removed = self.key.and_then(|key| budget.holders.lock().try_remove(key));
        drop(removed);
    }
}

#[cfg(all(test, loom))]
mod loom;
#[cfg(all(test, not(loom)))]
mod tests;
