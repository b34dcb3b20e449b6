//! Ends a stream that passes no message, by a check now and then, so that messages cost a counter and no more.

use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Checks in one idle timeout.
const CHECKS: u32 = 4;

/// An end of a stream that can be idle.
pub(crate) trait Idle: Send + Sync + 'static {
    /// Returns how many messages have passed, either way; `None` once the stream has ended.
    fn messages(&self) -> Option<u64>;

    /// No message has passed for `timeout`.
    fn expire(&self, timeout: Duration);
}

/// Watches `stream`, if there is a timeout. Holds nothing of it.
pub(crate) fn watch(stream: &Arc<impl Idle>, timeout: Option<Duration>) {
    if let Some((timeout, pause)) = timeout.and_then(|timeout| Some((timeout, timeout.checked_div(CHECKS)?)))
    {
        tokio::spawn(check(Arc::downgrade(stream), timeout, pause));
    }
}

async fn check(stream: Weak<impl Idle>, timeout: Duration, pause: Duration) {
    let (mut quiet, mut known) = (0_u32, 0);
    loop {
        tokio::time::sleep(pause).await;
        let Some(stream) = stream.upgrade() else { return };
        let Some(messages) = stream.messages() else { return };
        quiet = if mem::replace(&mut known, messages) == messages { quiet.saturating_add(1) } else { 0 };
        if quiet >= CHECKS {
            return stream.expire(timeout);
        }
    }
}
