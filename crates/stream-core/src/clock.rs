//! The one clock of everything that runs on tokio, so that tokio's paused test clock governs all of it.

use std::time::Instant;

/// Returns the current instant of the tokio clock.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
