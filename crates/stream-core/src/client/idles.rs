//! Exclusive connections, and their return to the pool after their stream.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Weak};

use super::connect::{Shared, Source};
use crate::stream::Held;
use crate::sync::Mutex;
use crate::transport::Connection;

/// Idle exclusive connections. One that was idle for too long closes by itself.
pub(super) struct Idles {
    connections: Mutex<VecDeque<Weak<dyn Connection>>>,
    max_idle: usize,
}

impl Idles {
    pub(super) fn new(max_idle: usize) -> Self {
        Self { connections: Mutex::default(), max_idle }
    }

    /// Returns all idle connections.
    pub(super) fn all(&self) -> Vec<Shared> {
        self.connections.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Removes and returns the most recently used connection that is still open.
    pub(super) fn take(&self) -> Option<Shared> {
        let next = || self.connections.lock().pop_back();
        std::iter::from_fn(next)
            .filter_map(|connection| connection.upgrade())
            .find(|connection| connection.is_open())
    }

    /// Adds a connection; closes the oldest if there are too many.
    fn put(&self, connection: &Shared) {
        let mut connections = self.connections.lock();
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push_back(Arc::downgrade(connection));
        let oldest = if connections.len() > self.max_idle { connections.pop_front() } else { None };
        drop(connections);
        oldest.and_then(|oldest| oldest.upgrade()).into_iter().for_each(|oldest| oldest.retire());
    }

    pub(super) fn take_all(&self) -> Vec<Shared> {
        mem::take(&mut *self.connections.lock()).iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for Idles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idles").field("max_idle", &self.max_idle).finish_non_exhaustive()
    }
}

impl Drop for Idles {
    fn drop(&mut self) {
        self.take_all().into_iter().for_each(|connection| connection.retire());
    }
}

/// The lease of an exclusive connection.
pub(super) struct Exclusive {
    pub(super) connection: Shared,
    pub(super) source: Arc<Source>,
    pub(super) home: Weak<Idles>,
}

impl Held for Exclusive {}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.source.dialer.connection_ended(self.connection.lost_at_start());
        match self.home.upgrade() {
            Some(idles) if self.connection.is_open() && self.connection.is_reusable() => {
                idles.put(&self.connection);
            }
            _ => self.connection.retire(),
        }
    }
}
