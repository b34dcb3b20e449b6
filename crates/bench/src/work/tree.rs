//! The cancellation tree: streams register with a scope and unregister, and a cancel reaches them.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kerrors::{Code, StreamError};
use stream_core::cancel::{Reason, Registration, Scope, Target};

/// A scope, and a target that counts its cancels.
#[derive(Debug)]
pub struct Tree {
    root: Scope,
    target: Arc<Counter>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: Scope::new(), target: Arc::default() }
    }
}

impl Tree {
    /// Registers a stream with the scope and unregisters it.
    pub fn join_and_leave(&self) {
        drop(black_box(self.register(&self.root)));
    }

    /// Creates a child scope and drops it.
    pub fn child(&self) {
        drop(black_box(self.root.child()));
    }

    /// Returns a scope with `streams` registered streams, for [`cancel`](Self::cancel).
    pub fn grow(&self, streams: usize) -> (Scope, Vec<Registration>) {
        let scope = self.root.child();
        let registrations = (0..streams).map(|_| self.register(&scope)).collect();
        (scope, registrations)
    }

    /// Cancels a scope and so each stream below it, once.
    pub fn cancel(&self, (scope, streams): &(Scope, Vec<Registration>)) {
        let before = self.target.0.load(Ordering::Relaxed);
        scope.cancel(&Reason::Stream(StreamError::new(Code::CANCELED)));
        assert_eq!(self.target.0.load(Ordering::Relaxed) - before, streams.len());
    }

    fn register(&self, scope: &Scope) -> Registration {
        scope.register(self.target.clone(), 7).expect("it is not canceled")
    }
}

#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Target for Counter {
    fn cancel(&self, _token: u64, _reason: &Reason) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
