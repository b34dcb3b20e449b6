//! The runtime is tokio.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use kerrors::Error;
use tokio::runtime::Handle;
use tokio::time::Sleep;
use tracing::debug;

pub use tokio::task::coop::poll_proceed;
pub use tokio::task::yield_now;
pub use tokio::time::sleep;

/// Returns an error outside of a tokio runtime.
///
/// # Errors
/// Nothing that needs sockets, tasks or timers can be done here.
pub fn check() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::network("no tokio runtime here: open streams and make calls within one")),
    }
}

/// Starts tasks on the runtime on which it was made.
#[derive(Debug)]
pub struct Spawner(Handle);

impl Spawner {
    /// Returns the spawner of the current runtime. Panics outside of one.
    pub fn current() -> Self {
        Self(Handle::current())
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

/// A timer that can be set again. Takes memory only once it was set.
#[derive(Debug, Default)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Waits until `due`; for ever if there is none.
    pub fn poll_until(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }
}

/// Waits for `future`, no longer than `limit`; returns `None` if that has passed.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// Logs what went wrong with the connection to `peer`.
pub fn log(peer: &impl Display, error: &impl Display, text: &str) {
    debug!(%peer, %error, "{text}");
}
