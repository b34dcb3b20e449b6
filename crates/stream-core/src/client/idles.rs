//! Connections that one stream has to itself, and what becomes of them when the stream is gone.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Weak};

use super::connect::{Shared, Source};
use crate::sync::Mutex;
use crate::transport::Connection;

/// Connections that wait for a stream of their own. One that has waited too long closes by itself.
pub(super) struct Idles {
    connections: Mutex<VecDeque<Weak<dyn Connection>>>,
    max_idle: usize,
}

impl Idles {
    pub(super) fn new(max_idle: usize) -> Self {
        Self { connections: Mutex::default(), max_idle }
    }

    /// Returns those that are there.
    pub(super) fn all(&self) -> Vec<Shared> {
        self.connections.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Returns the one that was used last, if it is still open.
    pub(super) fn take(&self) -> Option<Shared> {
        let next = || self.connections.lock().pop_back();
        std::iter::from_fn(next)
            .filter_map(|connection| connection.upgrade())
            .find(|connection| connection.is_open())
    }

    /// Keeps one; closes the oldest if they are too many.
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

/// The lease of a connection that one stream has to itself.
pub(super) struct Exclusive {
    pub(super) connection: Shared,
    pub(super) source: Arc<Source>,
    pub(super) home: Weak<Idles>,
}

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
