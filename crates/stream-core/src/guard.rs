//! Calls code of users where a panic must cost its own call only.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// Calls `call`, which a user wrote.
///
/// # Errors
/// The text of its panic.
pub fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    // What the call has changed of ours is changed by whole methods, each of which keeps its own invariants.
    catch_unwind(AssertUnwindSafe(call)).map_err(panic_text)
}

/// Runs `future`, which a user wrote, and drops it.
///
/// # Errors
/// The text of its panic.
pub async fn guarded_future<T>(future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Result<T, String> {
    let mut future = Guarded(Some(future));
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

/// A user's future, or whatever else runs a user's code when it is dropped.
struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
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

/// Logs a panic that costs nothing else.
#[cfg(feature = "tokio")]
pub fn report(place: &str, text: &str) {
    tracing::error!("panic in {place}: {text}");
}

/// Models have no log.
#[cfg(not(feature = "tokio"))]
pub fn report(_: &str, _: &str) {}

/// Returns the text of a panic, and drops what it carried: a payload may panic too when it is dropped.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
        .to_owned();
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        // Nothing can be said about a payload that panics again: it is leaked.
        std::mem::forget(second);
    }
    text
}
