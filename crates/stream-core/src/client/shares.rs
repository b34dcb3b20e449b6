//! The connections that all streams of a client share: which one a stream gets, and when there are to be more.

use std::sync::Arc;
use std::time::Duration;

use kerrors::Error;

use super::connect::{Shared, Source};
use super::slot::{Dialed, Slot};
use crate::cores::Place;
use crate::sync::Mutex;

/// The places of the connections that streams share.
#[derive(Debug)]
pub(super) struct Shares {
    /// One at least.
    slots: Vec<Slot>,
    /// Further ones, which are used while the peer takes no more streams on those.
    extra: Mutex<Vec<Slot>>,
}

/// How long a stream waits for a connection that is dialed while another one is open.
const DIAL_ALONE: Duration = Duration::from_millis(50);

/// Dials that an opening waits for at most, if each is abandoned.
const MAX_ABANDONED: usize = 3;

/// Connections that an opening waits for at most, if others fill each.
const MAX_SPARES: usize = 16;

/// Connections beyond the size of the pool.
const MAX_EXTRA: usize = 64;

impl Shares {
    pub(super) fn new(size: usize) -> Self {
        Self { slots: (0..size.max(1)).map(|_| Slot::default()).collect(), extra: Mutex::default() }
    }

    /// Returns every place.
    pub(super) fn all(&self) -> Vec<Slot> {
        let extra = self.extra.lock().clone();
        self.slots.iter().cloned().chain(extra).collect()
    }

    /// Returns a connection that is open, if possible one on which the peer takes another stream.
    pub(super) async fn get(&self, source: &Arc<Source>) -> Result<Shared, Error> {
        let connection = self.get_least_loaded(source).await?;
        match connection.is_full() {
            true => Ok(self.get_spare(connection, source).await),
            false => Ok(connection),
        }
    }

    /// Returns the connection of the least loaded place. If it has to be dialed first and that fails, or takes long,
    /// any connection that is open serves: an opening fails only if there is none.
    async fn get_least_loaded(&self, source: &Arc<Source>) -> Result<Shared, Error> {
        let mut left = MAX_ABANDONED;
        loop {
            let slot = self.pick();
            if let Some(connection) = slot.open_connection() {
                return Ok(connection);
            }
            left = left.saturating_sub(1);
            let dialed = match (slot.dial(source), self.open_one()) {
                (Ok(dialed), None) => dialed.await,
                (Ok(dialed), Some(open)) => return Ok(dialed_soon(dialed).await.unwrap_or(open)),
                (Err(_), Some(open)) => return Ok(open),
                (Err(error), None) => return Err(error),
            };
            match (dialed, self.open_one()) {
                (Ok(Ok(connection)), _) | (Ok(Err(_)) | Err(_), Some(connection)) => return Ok(connection),
                (Ok(Err(error)), None) => return Err(error),
                // Its runtime was shut down, or its task panicked. This caller may have another runtime.
                (Err(_), None) if left > 0 => {}
                (Err(_), None) => {
                    return Err(Error::network("the dial was abandoned: its runtime was shut down"));
                }
            }
        }
    }

    /// Returns the least loaded place. On a thread of [`ThreadPerCore`](crate::ThreadPerCore) one of those that belong to that thread,
    /// if there are enough, so that a stream and its connection live on the same.
    #[expect(clippy::indexing_slicing, reason = "a pool has one slot at least")]
    fn pick(&self) -> &Slot {
        let (first, step) = match Place::here() {
            Some(Place { index, count }) if count <= self.slots.len() => (index, count),
            _ => (0, 1),
        };
        let own = self.slots.iter().skip(first).step_by(step);
        own.min_by_key(|slot| slot.load()).unwrap_or(&self.slots[0])
    }

    /// Returns whether a connection is open.
    pub(super) fn has_open(&self) -> bool {
        self.slots.iter().any(|slot| slot.open_connection().is_some())
    }

    /// Returns the least loaded connection that is open.
    fn open_one(&self) -> Option<Shared> {
        let open = self.all().iter().filter_map(Slot::open_connection).collect::<Vec<_>>();
        open.into_iter().min_by_key(|connection| connection.live_streams())
    }

    /// Returns a connection on which the peer takes streams, which `full` is not. If none can be had, or that is of no use, that
    /// one: the peer returns the error.
    async fn get_spare(&self, full: Shared, source: &Arc<Source>) -> Shared {
        for _ in 0..MAX_SPARES {
            let slots = self.all();
            let open: Vec<Shared> = slots.iter().filter_map(Slot::open_connection).collect();
            if open.iter().any(refuses_all) {
                return full;
            }
            let limit = limit(&open);
            let spare = open.into_iter().filter(|connection| has_room(connection, limit));
            if let Some(spare) = spare.min_by_key(|connection| connection.live_streams()) {
                return spare;
            }
            let free = slots.iter().find(|slot| slot.open_connection().is_none() && slot.load() < limit);
            let Some(slot) = free.cloned().or_else(|| self.add()) else { return full };
            let Ok(dialed) = slot.dial(source) else { return full };
            // Looked at again from the start: others may fill it before this caller runs.
            if !matches!(dialed.await, Ok(Ok(_))) {
                return full;
            }
        }
        full
    }

    /// Adds a place; `None` if there are too many.
    fn add(&self) -> Option<Slot> {
        let mut extra = self.extra.lock();
        if extra.len() >= MAX_EXTRA {
            return None;
        }
        let slot = Slot::default();
        extra.push(slot.clone());
        Some(slot)
    }
}

/// Returns how many streams the peer accepts on one connection, as far as full connections show: it may still be
/// refusing some on them. What it takes on one it takes on the others.
fn limit(open: &[Shared]) -> usize {
    let full = open.iter().filter(|connection| connection.is_full());
    full.map(|connection| connection.live_streams()).min().unwrap_or(usize::MAX).max(1)
}

/// Returns whether the peer has refused a stream that was the only one of its connection. What limits it is then not the number of
/// streams on a connection, and more connections would be one more load of it.
fn refuses_all(connection: &Shared) -> bool {
    connection.is_full() && connection.live_streams() == 0
}

fn has_room(connection: &Shared, limit: usize) -> bool {
    !connection.is_full() && connection.live_streams() < limit
}

/// Returns what is dialed, unless it fails or takes long. A dial that takes long goes on.
async fn dialed_soon(dialed: Dialed) -> Option<Shared> {
    tokio::time::timeout(DIAL_ALONE, dialed).await.ok()?.ok()?.ok()
}
