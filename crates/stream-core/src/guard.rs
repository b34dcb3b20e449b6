//! Calls code of users where a panic must cost its own call only.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `call`, which a user wrote.
///
/// # Errors
/// The text of its panic.
pub fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    // What the call has changed of ours is changed by whole methods, each of which keeps its own invariants.
    catch_unwind(AssertUnwindSafe(call)).map_err(panic_text)
}

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
