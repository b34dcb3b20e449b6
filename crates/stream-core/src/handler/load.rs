//! How many handlers a server runs, on how many connections, and which connection may have one more. Knows neither queue nor
//! permits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The running handlers of a server, and the connections that have any.
#[derive(Debug)]
pub(super) struct Load {
    limit: u64,
    /// What is left of the limit is for connections below their share.
    open: u64,
    /// Handlers in the lower half, busy connections in the upper one: one operation counts both.
    sum: AtomicU64,
}

/// What one connection runs, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Own(AtomicUsize);

/// What was counted before one more was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    own: usize,
    sum: u64,
}

/// A stream or call of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    /// It waits for a handler.
    Waiting = 0,
    /// Its handler runs.
    Running = 1,
}

/// One busy connection in the sum.
const CONNECTION: u64 = 1 << 32;
/// The handlers in the sum.
const HANDLERS: u64 = CONNECTION - 1;
/// The least limit of which a part is reserved, so that small ones are exact.
const LEAST: usize = 1024;
/// The part of a limit that is reserved.
const PART: usize = 16;

/// Returns how many of `max_handlers` are reserved for connections below their share.
pub(super) fn reserved(max_handlers: usize) -> usize {
    if max_handlers < LEAST { 0 } else { max_handlers / PART }
}

impl Load {
    pub(super) fn new(max_handlers: usize) -> Self {
        // Below the upper half, with room for those that are being refused; there is no memory for as many.
        let bounded = |handlers: usize| u64::try_from(handlers).unwrap_or(u64::MAX).min(HANDLERS >> 1);
        let open = max_handlers.saturating_sub(reserved(max_handlers));
        Self { limit: bounded(max_handlers), open: bounded(open), sum: AtomicU64::new(0) }
    }

    /// Returns the number of running handlers.
    pub(super) fn handlers(&self) -> usize {
        usize::try_from(handlers(self.sum.load(Ordering::Relaxed))).unwrap_or(usize::MAX)
    }

    /// Counts one of the connection that has `own`.
    pub(super) fn add(&self, own: &Own, counted: Counted) -> Before {
        // Ordered, so that a busy connection is counted before it is subtracted.
        let own = own.0.fetch_add(1, Ordering::AcqRel);
        let connection = if own == 0 { CONNECTION } else { 0 };
        let sum = self.sum.fetch_add(connection | counted as u64, Ordering::Relaxed);
        Before { own, sum }
    }

    /// Subtracts one that was counted.
    pub(super) fn remove(&self, own: &Own, counted: Counted) {
        let connection = if own.0.fetch_sub(1, Ordering::AcqRel) == 1 { CONNECTION } else { 0 };
        self.sum.fetch_sub(connection | counted as u64, Ordering::Relaxed);
    }

    /// Returns whether a handler may run beside those that were counted before it.
    #[inline]
    pub(super) fn admits(&self, before: Before) -> bool {
        let handlers = handlers(before.sum);
        handlers < self.open || (handlers < self.limit && self.is_below_share(before))
    }

    /// Returns whether the limit is reached, for a connection below its share too.
    pub(super) fn is_full(&self, before: Before) -> bool {
        handlers(before.sum) >= self.limit
    }

    /// Returns whether the connection that has `own` may use what is reserved, now or when there is any left again.
    pub(super) fn entitles(&self, own: &Own) -> bool {
        let (own, sum) = (own.0.load(Ordering::Relaxed), self.sum.load(Ordering::Relaxed));
        self.open < self.limit && self.is_below_share(Before { own, sum })
    }

    /// A share is that of what is left, not of the limit: many connections that open one after the other, each up to its
    /// share, would otherwise take all of it.
    #[cold]
    fn is_below_share(&self, before: Before) -> bool {
        let reserved = self.limit.saturating_sub(self.open);
        let left = self.limit.saturating_sub(handlers(before.sum)).min(reserved);
        let connections = before.sum / CONNECTION;
        let share = left.checked_div(connections.saturating_add(1)).unwrap_or_default();
        // One that runs none has a share as long as any is left.
        u64::try_from(before.own).is_ok_and(|own| own < share.max(1))
    }
}

fn handlers(sum: u64) -> u64 {
    sum & HANDLERS
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Runs handlers of a connection until one is refused, `most` at most. Returns how many run.
    fn fill(load: &Load, own: &Own, most: usize) -> usize {
        for handlers in 0..most {
            if !load.admits(load.add(own, Counted::Running)) {
                load.remove(own, Counted::Running);
                return handlers;
            }
        }
        most
    }

    #[test]
    fn a_sixteenth_of_max_handlers_is_left_to_connections_below_their_share() {
        // The limit, what each of how many connections wants to run, and what all of them and a new one may.
        let rows = [
            (16, 1, 100, 16, 0),
            (1023, 1, 2000, 1023, 0),
            (1024, 1, 2000, 960, 16),
            (1024, 4, 256, 960, 9),
            (1024, 64, 15, 960, 1),
            (65_536, 1, 100_000, 61_440, 1024),
            (65_536, 60, 1024, 61_440, 65),
            (65_536, 61_440, 1, 61_440, 1),
            (65_536, 65_536, 1, 65_536, 0),
            (usize::MAX, 1, 100_000, 100_000, 100_000),
        ];
        for (limit, connections, each, all, new) in rows {
            let load = Load::new(limit);
            let owns: Vec<Own> = (0..connections).map(|_| Own::default()).collect();
            let run: usize = owns.iter().map(|own| fill(&load, own, each)).sum();
            let newest = fill(&load, &Own::default(), 100_000);
            assert_eq!((run, newest), (all, new), "{limit} {connections} {each}");
            assert_eq!(load.handlers(), run + newest);
        }
    }

    /// A share of the limit itself would let 65 of them take everything.
    #[test]
    fn connections_that_fill_up_one_after_the_other_leave_something() {
        let load = Load::new(65_536);
        for _ in 0..500 {
            fill(&load, &Own::default(), 1024);
        }
        assert!(fill(&load, &Own::default(), 1024) > 0);
    }

    #[test]
    fn handlers_that_return_make_room_for_any_connection() {
        let (load, one, two) = (Load::new(1024), Own::default(), Own::default());
        assert_eq!((fill(&load, &one, 2000), fill(&load, &two, 2000)), (960, 16));
        for _ in 0..22 {
            load.remove(&one, Counted::Running);
        }
        assert_eq!(fill(&load, &one, 2000), 6);
        (0..944).for_each(|_| load.remove(&one, Counted::Running));
        (0..16).for_each(|_| load.remove(&two, Counted::Running));
        assert_eq!(load.sum.into_inner(), 0);
    }
}
