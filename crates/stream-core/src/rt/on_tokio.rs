//! The implementation on tokio.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kerrors::Error;
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tracing::debug;

pub use tokio::task::coop::poll_proceed;
pub use tokio::task::yield_now;
pub use tokio::time::sleep;

/// Checks that the caller runs in a tokio runtime.
///
/// # Errors
/// A network error outside of a tokio runtime, where sockets, tasks and timers do not work.
pub fn check() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::network("no tokio runtime here: open streams and make calls within one")),
    }
}

/// Spawns tasks on the runtime on which it was created.
#[derive(Debug)]
pub struct Spawner(Handle);

impl Spawner {
    /// Returns the spawner of the current runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn current() -> Self {
        Self(Handle::current())
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

/// A timer that can be reset. Allocates only when it is first set.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The task that the runtime wakes when `sleep` has passed.
    waiting: Option<Waker>,
}

impl Timer {
    /// Waits until `due`; forever if it is `None`.
    pub fn poll_until(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        } else if self.waiting.as_ref().is_some_and(|known| known.will_wake(cx.waker()))
            && !sleep.is_elapsed()
        {
            // To ask the runtime again costs more than all of this, and a reader is polled for each message.
            return Poll::Pending;
        }
        let result = sleep.as_mut().poll(cx);
        self.waiting = result.is_pending().then(|| cx.waker().clone());
        result
    }
}

/// Waits for `future`, at most for `limit`; returns `None` on a timeout.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// As [`timeout`], if there is a `limit`.
pub async fn timeout_if<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        None => Some(future.await),
        Some(limit) => timeout(limit, future).await,
    }
}

/// Logs an error of the connection to `peer`.
pub fn log(peer: &impl Display, error: &impl Display, text: &str) {
    debug!(%peer, %error, "{text}");
}
