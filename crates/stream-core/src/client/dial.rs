//! Makes a connection: picks an address, dials it, tries the next if it fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use kerrors::{Error, Side};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::debug;

use super::backoff::Backoff;
use super::{AddressSource, ClientConfig};
use crate::driver::{Link, read_loop, start};
use crate::io::Io;
use crate::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Dialer {
    addresses: Box<dyn AddressSource>,
    next: AtomicUsize,
    config: ClientConfig,
    backoff: Mutex<Backoff>,
    /// Dials at once: callers beyond wait, and learn from those before them.
    permits: Semaphore,
    pub(super) dials: AtomicU64,
    pub(super) failed_dials: AtomicU64,
}

const MAX_DIALS: usize = 16;

impl Dialer {
    pub(super) fn new(addresses: impl AddressSource, config: ClientConfig) -> Self {
        Self {
            addresses: Box::new(addresses),
            next: AtomicUsize::new(0),
            config,
            backoff: Mutex::default(),
            permits: Semaphore::new(MAX_DIALS),
            dials: AtomicU64::new(0),
            failed_dials: AtomicU64::new(0),
        }
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// A connection that streams may be opened on.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Error> {
        let io = self.io().await?;
        let link = start(Side::Client, io, self.config.connection.clone(), self.config.idle_timeout);
        tokio::spawn(read_loop(link.clone(), BytesMut::new(), |_| {}));
        Ok(link)
    }

    /// A byte stream to the service. Soon after a failure it fails at once, with the same error.
    pub(crate) async fn io(&self) -> Result<Io, Error> {
        // Closed never; the permit goes with the future.
        let _permit = self.permits.acquire().await;
        if let Some(error) = self.backoff.lock().refuses(Instant::now()) {
            return Err(error);
        }
        self.dials.fetch_add(1, Ordering::Relaxed);
        let dialed = self.dial_any().await;
        match &dialed {
            Ok(_) => self.backoff.lock().succeed(),
            Err(error) => {
                self.failed_dials.fetch_add(1, Ordering::Relaxed);
                self.backoff.lock().fail(error.clone(), Instant::now());
            }
        }
        dialed
    }

    /// A byte stream to the first address that answers; they take turns at being asked first.
    async fn dial_any(&self) -> Result<Io, Error> {
        let addresses = self.addresses.addresses();
        let first = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(addresses.len()).unwrap_or(0);
        let mut last = refused(
            "no address",
            io::Error::new(io::ErrorKind::NotFound, "the source of addresses is empty"),
        );
        for address in addresses.iter().cycle().skip(first).take(addresses.len()) {
            match self.dial(address).await {
                Ok(io) => return Ok(io),
                Err(error) => {
                    debug!(address, %error, "dial failed");
                    last = refused(address, error);
                }
            }
        }
        Err(last)
    }

    async fn dial(&self, address: &str) -> io::Result<Io> {
        let timeout = self.config.connect_timeout;
        let connect = async { Io::tcp(TcpStream::connect(address).await?) };
        tokio::time::timeout(timeout, connect).await.unwrap_or_else(|_| {
            let text = format!("no answer within {}", kerrors::GoDuration(timeout));
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

fn refused(address: &str, source: io::Error) -> Error {
    Error::Connect { address: address.to_owned(), source: Arc::new(source) }
}
