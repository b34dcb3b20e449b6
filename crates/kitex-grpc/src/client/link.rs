//! What the streams of one connection share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use kerrors::Error;
use stream_core::clock;
use stream_core::io::Address;
use stream_core::sync::Mutex;
use tokio::sync::watch;

use crate::{GrpcConfig, status};

/// A client's connection.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) config: GrpcConfig,
    /// `None` once the connection takes no new stream.
    pub(super) requests: Mutex<Option<SendRequest<Bytes>>>,
    pub(super) live: AtomicUsize,
    pub(super) times: Mutex<Times>,
    pub(super) closed: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct Times {
    /// Since when there is no stream.
    pub(super) idle: Instant,
    /// When a stream was reset last.
    pub(super) reset: Option<Instant>,
}

impl Link {
    pub(super) fn failed(&self, error: &h2::Error) -> Error {
        status::failed(error, &self.peer, false).into()
    }

    /// A stream has ended here, by a reset of this end or otherwise.
    pub(super) fn ended(&self, was_reset: bool) {
        let now = clock::now();
        let mut times = self.times.lock();
        times.idle = now;
        if was_reset {
            times.reset = Some(now);
        }
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns when the connection will have had no stream for `timeout`.
    pub(super) fn idle_due(&self, timeout: Duration, now: Instant) -> Instant {
        let since = if self.live.load(Ordering::Relaxed) == 0 { self.times.lock().idle } else { now };
        since.checked_add(timeout).unwrap_or(now)
    }
}
