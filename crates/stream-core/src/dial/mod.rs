//! Makes byte streams to a service: picks an address, dials it, tries the next if it fails. Knows nothing of what is
//! spoken on them.

mod address;
mod backoff;
mod connector;
mod fault;
mod race;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kerrors::Error;
use tokio::sync::Semaphore;
use tracing::debug;

pub use address::{AddressSource, StaticAddresses};
use backoff::Backoff;
pub use connector::{Connector, SystemConnector};
pub use fault::address_fault;

use crate::guard::guarded;
use crate::io::Io;
use crate::sync::Mutex;
use crate::{clock, rt};

/// Dials one service. After a failure, dials fail at once for a time that grows: see [`Dialer::dial`].
#[derive(Debug)]
pub struct Dialer {
    addresses: Box<dyn AddressSource>,
    connector: Arc<dyn Connector>,
    next: AtomicUsize,
    connect_timeout: Duration,
    backoff: Mutex<Backoff>,
    /// Bounds concurrent dials: further callers wait, and fail at once if the dials before them fail.
    permits: Semaphore,
    dials: AtomicU64,
    failed_dials: AtomicU64,
    /// Addresses that the source gave last.
    known: AtomicUsize,
    /// Connections in a row that were lost at their start.
    losses: AtomicUsize,
}

const MAX_DIALS: usize = 16;

impl Dialer {
    pub(crate) fn new(
        addresses: impl AddressSource,
        connector: Arc<dyn Connector>,
        connect_timeout: Duration,
    ) -> Self {
        Self {
            addresses: Box::new(addresses),
            connector,
            next: AtomicUsize::new(0),
            connect_timeout,
            backoff: Mutex::default(),
            permits: Semaphore::new(MAX_DIALS),
            dials: AtomicU64::new(0),
            failed_dials: AtomicU64::new(0),
            known: AtomicUsize::new(0),
            losses: AtomicUsize::new(0),
        }
    }

    /// Returns the number of dials so far, and how many of them failed.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.dials.load(Ordering::Relaxed), self.failed_dials.load(Ordering::Relaxed))
    }

    /// Returns why not to dial now: dials have failed of late.
    pub(crate) fn refuses(&self) -> Option<Error> {
        self.backoff.lock().refuses(clock::now())
    }

    /// A connection has ended; `lost` says that it was lost before anything came from its peer. That is as good as a
    /// dial that failed, from the second in a row on: one alone may be a server that is restarted. Where there are
    /// other addresses the next dial goes to another, and need not wait.
    pub(crate) fn connection_ended(&self, lost: Option<Error>) {
        let Some(error) = lost else { return self.losses.store(0, Ordering::Relaxed) };
        self.failed_dials.fetch_add(1, Ordering::Relaxed);
        let in_a_row = self.losses.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if in_a_row > 1 && self.known.load(Ordering::Relaxed) <= 1 {
            let error = Error::network(format!("connection was lost before anything came: {error}"));
            self.backoff.lock().fail(error, clock::now());
        }
    }

    /// Returns a new byte stream to the service. For 100 ms after a failed dial, doubled with each failure up to
    /// 1 s, it fails at once with the same error.
    ///
    /// # Errors
    /// [`Error::Connect`]: no address could be reached. The source of addresses panicked, or this is no tokio
    /// runtime: then nothing was dialed, and the next dial is tried at once.
    pub async fn dial(&self) -> Result<Io, Error> {
        rt::check()?;
        // Never closed; the permit is released with the future.
        let _permit = self.permits.acquire().await;
        if let Some(error) = self.backoff.lock().refuses(clock::now()) {
            return Err(error);
        }
        let addresses = guarded(|| self.addresses.addresses())
            .map_err(|text| Error::network(format!("panic: [happened in the source of addresses] {text}")))?;
        self.known.store(addresses.len(), Ordering::Relaxed);
        self.dials.fetch_add(1, Ordering::Relaxed);
        let dialed = self.dial_any(&addresses).await;
        match &dialed {
            Ok(_) => self.backoff.lock().succeed(),
            Err(error) => {
                self.failed_dials.fetch_add(1, Ordering::Relaxed);
                self.backoff.lock().fail(error.clone(), clock::now());
            }
        }
        dialed
    }

    /// Returns a byte stream to the first address that answers; each dial begins with the next address.
    async fn dial_any(&self, addresses: &[String]) -> Result<Io, Error> {
        let first = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(addresses.len()).unwrap_or(0);
        let mut last = refused(
            "no address",
            io::Error::new(io::ErrorKind::NotFound, "the source of addresses is empty"),
        );
        for address in addresses.iter().cycle().skip(first).take(addresses.len()) {
            match self.dial_address(address).await {
                Ok(io) => return Ok(io),
                Err(error) => {
                    debug!(address, %error, "dial failed");
                    last = refused(address, error);
                }
            }
        }
        Err(last)
    }

    async fn dial_address(&self, address: &str) -> io::Result<Io> {
        let timeout = self.connect_timeout;
        tokio::time::timeout(timeout, self.connector.connect(address, timeout)).await.unwrap_or_else(|_| {
            let text = format!("no answer within {}", kerrors::GoDuration(timeout));
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

fn refused(address: &str, source: io::Error) -> Error {
    Error::Connect { address: address.to_owned(), source: Arc::new(source) }
}
