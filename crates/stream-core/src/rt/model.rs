//! No runtime: tasks are stored until the model polls them, and time does not pass by itself.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex as SystemMutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Stores spawned tasks for the model.
#[derive(Clone, Default)]
pub struct Spawner(Arc<SystemMutex<Vec<Task>>>);

impl Spawner {
    pub fn current() -> Self {
        Self::default()
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.lock().unwrap().push(Box::pin(task));
    }

    /// Takes the tasks that were spawned since the last call.
    pub fn take(&self) -> Vec<Task> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A timer that never fires: models check when it would.
#[derive(Debug, Default)]
pub struct Timer(Option<Instant>);

impl Timer {
    pub fn poll_until(&mut self, due: Option<Instant>, _: &mut Context<'_>) -> Poll<()> {
        self.0 = due;
        Poll::Pending
    }

    pub fn due(&self) -> Option<Instant> {
        self.0
    }
}

/// A budget that is never spent.
pub struct Budget;

impl Budget {
    pub fn made_progress(&self) {}
}

pub fn poll_proceed(_: &Context<'_>) -> Poll<Budget> {
    Poll::Ready(Budget)
}

/// Completes as soon as the model polls the task: the model decides when time has passed.
pub async fn sleep(_: Duration) {}

pub async fn yield_now() {}

pub async fn timeout<F: Future>(_: Duration, future: F) -> Option<F::Output> {
    Some(future.await)
}

pub fn log(_: &impl Display, _: &impl Display, _: &str) {}
