//! Shared parts of loom models: the bounds of exploration, and a counter of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};

use crate::cancel::{Reason, Target};

/// Counts wakes and cancels, with an atomic of the system, which loom does not order.
#[derive(Default)]
pub struct Count(AtomicUsize);

impl Count {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Returns a waker that counts its wakes here.
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }
}

impl Target for Count {
    fn cancel(&self, _: u64, _: &Reason) {
        self.add();
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.add();
    }
}

/// Explores the interleavings of a model's threads: with up to two preemptions, or `LOOM_MAX_PREEMPTIONS`.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}
