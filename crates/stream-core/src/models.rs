//! What models have in common: how far loom goes, and who counts what is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};

use crate::cancel::{Reason, Target};

/// Counts what it is told, by an atomic of the system's: that adds no order of its own.
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

    /// A waker that counts here.
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

/// Tries every order of a model's threads: with two preemptions, unless `LOOM_MAX_PREEMPTIONS` says more.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}
