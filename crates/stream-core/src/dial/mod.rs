//! Connects to an instance of a service: dials its address, with backoff. Knows nothing of the protocols on the
//! connection.

mod backoff;
mod connector;
mod discover;
mod dns;
mod fault;
mod file;
mod race;
mod tried;
mod watch;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kerrors::Error;
use tokio::sync::Semaphore;
use tracing::debug;

pub(crate) use backoff::{Backoff, jitter};
pub use connector::{Connector, SystemConnector};
pub use discover::{Discover, Instance, InstanceSet, SharedInstances, StaticAddresses};
pub use dns::DnsInstances;
pub use fault::address_fault;
pub use file::InstanceFile;
pub use tried::Tried;
pub use watch::WatchedInstances;

use crate::guard::guarded_future;
use crate::io::Io;
use crate::sync::Mutex;
use crate::{clock, rt};

/// Dials one address, with exponential backoff: see [`Dialer::dial`].
#[derive(Debug)]
pub struct Dialer {
    address: Arc<str>,
    connector: Arc<dyn Connector>,
    connect_timeout: Duration,
    backoff: Mutex<Backoff>,
    /// Whether the last dial has failed, or connections are lost at their start.
    is_failing: AtomicBool,
    /// Bounds concurrent dials: further callers wait, and fail at once if earlier dials fail.
    permits: Semaphore,
    /// The number of consecutive connections that were lost at their start.
    losses: AtomicUsize,
    counts: Arc<DialCounts>,
}

/// The dials of one client.
#[derive(Debug, Default)]
pub(crate) struct DialCounts {
    dials: AtomicU64,
    failed: AtomicU64,
}

impl DialCounts {
    /// Returns the number of dials so far, and how many of them failed.
    pub(crate) fn get(&self) -> (u64, u64) {
        (self.dials.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

const MAX_DIALS: usize = 16;

impl Dialer {
    pub(crate) fn new(
        address: Arc<str>,
        connector: Arc<dyn Connector>,
        connect_timeout: Duration,
        counts: Arc<DialCounts>,
    ) -> Self {
        Self {
            address,
            connector,
            connect_timeout,
            backoff: Mutex::default(),
            is_failing: AtomicBool::new(false),
            permits: Semaphore::new(MAX_DIALS),
            losses: AtomicUsize::new(0),
            counts,
        }
    }

    /// Returns the address.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Returns the error of the last dial while its backoff has not passed.
    pub(crate) fn refuses(&self) -> Option<Error> {
        self.backoff.lock().refuses(clock::now())
    }

    /// Returns whether the last dial has failed: then other instances are preferred.
    pub(crate) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
    }

    /// Returns whether an address that could not be reached may be tried again, beside others that can be reached.
    pub(crate) fn is_probe_due(&self) -> bool {
        self.is_failing() && self.backoff.lock().is_probe_due(clock::now())
    }

    /// Records that a dial takes longer than the time `waited`, in `tried` too. The address counts as failing until it is
    /// [reached](Self::reached).
    pub(crate) fn takes_long(&self, tried: &mut Tried, waited: Duration) {
        self.is_failing.store(true, Ordering::Release);
        tried.add_slow(&self.address, waited);
    }

    /// Records that there is a connection: the address counts as failing no longer, and its next dial has no backoff.
    pub(crate) fn reached(&self) {
        let before = self.backoff.lock().succeed();
        // Without the lock: it may be an error of the user's connector.
        drop(before);
        self.is_failing.store(false, Ordering::Release);
    }

    /// Permits a dial though the last one has just failed: there is no other address to try.
    pub(crate) fn lift_backoff(&self) {
        self.backoff.lock().lift(clock::now());
    }

    /// Prefers other instances until a dial succeeds: its connections were closed, so it shuts down or restarts. Unlike
    /// after a failed dial, the next dial is not delayed.
    pub(crate) fn eject(&self) {
        self.backoff.lock().eject(clock::now());
        self.is_failing.store(true, Ordering::Release);
    }

    fn fail(&self, error: Error) {
        let before = self.backoff.lock().fail(error, clock::now());
        // Without the lock: it may be an error of the user's connector.
        drop(before);
        self.is_failing.store(true, Ordering::Release);
    }

    /// Records the end of a connection; `lost` is set if it was lost before anything was received. From the
    /// second consecutive one on, that counts as a failed dial: a single one may be a server that restarts.
    pub(crate) fn connection_ended(&self, lost: Option<Error>) {
        let Some(error) = lost else { return self.losses.store(0, Ordering::Relaxed) };
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        if self.losses.fetch_add(1, Ordering::Relaxed) > 0 {
            self.fail(Error::network(format!("connection was lost before any data arrived: {error}")));
        }
    }

    /// Returns a new byte stream to the address. For 100 ms after a failed dial, doubled with each failure up to
    /// 1 s, it fails at once with the same error.
    ///
    /// # Errors
    /// [`Error::Connect`] if it could not be reached. A network error if there is no tokio runtime: then nothing was
    /// dialed, and the next dial has no backoff.
    pub async fn dial(&self) -> Result<Io, Error> {
        rt::check()?;
        // Never closed; the permit is released with the future.
        let _permit = self.permits.acquire().await;
        if let Some(error) = self.refuses() {
            return Err(error);
        }
        self.counts.dials.fetch_add(1, Ordering::Relaxed);
        match self.dial_now().await {
            Ok(io) => {
                self.reached();
                Ok(io)
            }
            Err(error) => {
                debug!(address = &*self.address, %error, "dial failed");
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                self.fail(error.clone());
                Err(error)
            }
        }
    }

    async fn dial_now(&self) -> Result<Io, Error> {
        let limit = self.connect_timeout;
        let connecting = Box::pin(async move { self.connector.connect(&self.address, limit).await });
        let connected = tokio::time::timeout(limit, guarded_future(connecting)).await.unwrap_or_else(|_| {
            let text = format!("no answer within {}", kerrors::GoDuration(limit));
            Ok(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
        });
        match connected {
            Ok(io) => io.map_err(|error| refused(&self.address, error)),
            // The connector may be a user's.
            Err(text) => {
                let text = format!("panic: [happened in the connector] {text}");
                Err(refused(&self.address, io::Error::other(text)))
            }
        }
    }
}

/// Returns the error of a call for which there is no instance.
pub(crate) fn no_instance(text: &str) -> Error {
    refused("no address", io::Error::new(io::ErrorKind::NotFound, text))
}

fn refused(address: &str, source: io::Error) -> Error {
    Error::Connect { address: address.to_owned(), source: Arc::new(source) }
}
