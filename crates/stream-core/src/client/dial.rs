//! Makes a connection: picks an address, dials it, tries the next if it fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use kerrors::{Error, Side};
use tracing::debug;

use super::{AddressSource, ClientConfig};
use crate::driver::{Link, connect, read_loop};

#[derive(Debug)]
pub(crate) struct Dialer {
    addresses: Box<dyn AddressSource>,
    next: AtomicUsize,
    config: ClientConfig,
}

impl Dialer {
    pub(super) fn new(addresses: impl AddressSource, config: ClientConfig) -> Self {
        Self { addresses: Box::new(addresses), next: AtomicUsize::new(0), config }
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// A connection that streams may be opened on.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Error> {
        let socket = self.socket().await?;
        let peer = socket.peer_addr().map_err(|error| refused("the peer", error))?;
        let link = Link::new(Side::Client, socket, peer, self.config.connection.clone());
        tokio::spawn(read_loop(link.clone(), BytesMut::new(), |_| {}));
        Ok(link)
    }

    /// A socket to the first address that answers; they take turns at being asked first.
    pub(crate) async fn socket(&self) -> Result<tokio::net::TcpStream, Error> {
        let addresses = self.addresses.addresses();
        let first = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(addresses.len()).unwrap_or(0);
        let mut last = refused(
            "no address",
            io::Error::new(io::ErrorKind::NotFound, "the source of addresses is empty"),
        );
        for address in addresses.iter().cycle().skip(first).take(addresses.len()) {
            match self.dial(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    debug!(address, %error, "dial failed");
                    last = refused(address, error);
                }
            }
        }
        Err(last)
    }

    async fn dial(&self, address: &str) -> io::Result<tokio::net::TcpStream> {
        let timeout = self.config.connect_timeout;
        tokio::time::timeout(timeout, connect(address)).await.unwrap_or_else(|_| {
            let text = format!("no answer within {}", kerrors::GoDuration(timeout));
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

fn refused(address: &str, source: io::Error) -> Error {
    Error::Connect { address: address.to_owned(), source: Arc::new(source) }
}
