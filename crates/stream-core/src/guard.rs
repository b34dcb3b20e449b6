//! Calls user code so that a panic ends its own call only.

use std::any::Any;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

#[cfg(feature = "tokio")]
use crate::clock;
#[cfg(feature = "tokio")]
use crate::log_limit::LogLimit;

/// Calls `call`, which is user code.
///
/// # Errors
/// The text of its panic.
pub fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    // Unwind safe: user code changes our state only by methods that keep its invariants.
    catch_unwind(AssertUnwindSafe(call)).map_err(panic_text)
}

/// Runs `future`, which is user code, and drops it.
///
/// # Errors
/// The text of its panic.
pub async fn guarded_future<T>(future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Result<T, String> {
    let mut future = Guarded::new(future);
    poll_fn(|cx| {
        let Some(running) = &mut future.0 else { return Poll::Pending };
        let polled = match guarded(|| running.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Ok(result),
            Err(text) => Err(text),
        };
        future.drop_now();
        Poll::Ready(polled)
    })
    .await
}

/// Returns `error`, or one with the text of the panic if its own text, which is user code, cannot be written. Errors that
/// end streams are written by tasks that serve others too.
pub fn readable(error: Arc<dyn Error + Send + Sync>) -> Arc<dyn Error + Send + Sync> {
    match guarded(|| error.to_string()) {
        Ok(_) => error,
        Err(text) => {
            let text = format!("panic: [happened in the text of an error] {text}");
            Box::<dyn Error + Send + Sync>::from(text).into()
        }
    }
}

/// A user's future, or another value whose drop runs user code.
pub(crate) struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Returns the value; `None` only while it is dropped.
    #[cfg(feature = "tokio")]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    fn drop_now(&mut self) {
        let value = self.0.take();
        if let Err(text) = guarded(move || drop(value)) {
            report("a drop", &text);
        }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        self.drop_now();
    }
}

/// Logs a panic that has no other effect, at most five in ten seconds.
#[cfg(feature = "tokio")]
pub fn report(place: &str, text: &str) {
    /// Peers can cause the panics of a handler and of what observes it.
    static LIMIT: LogLimit = LogLimit::new();
    if let Some(suppressed) = LIMIT.allows(clock::now()) {
        tracing::error!(suppressed, "panic in {place}: {text}");
    }
}

/// Does nothing: models have no log.
#[cfg(not(feature = "tokio"))]
pub fn report(_: &str, _: &str) {}

/// Returns the text of a panic, and drops its payload, whose drop may panic too.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
        .to_owned();
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // A payload that panics again is leaked.
        std::mem::forget(second);
    }
    text
}
