//! The clock of all code that runs on tokio. Code without a clock gets the time as an argument.

use std::time::Instant;

/// Returns the current time. On a test's paused clock it is that clock's time.
#[cfg(feature = "tokio")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns the same time in every execution of a model: loom needs executions that do not depend on time.
#[cfg(loom)]
pub fn now() -> Instant {
    static NOW: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *NOW.get_or_init(Instant::now)
}
