//! Makes the connections of a pool.

use std::sync::Arc;
use std::time::Duration;

use kerrors::Error;

use crate::dial::Dialer;
use crate::transport::{Connection, Transport};

/// A connection of any transport.
pub(super) type Shared = Arc<dyn Connection>;

/// Makes the connections of a pool.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) dialer: Arc<Dialer>,
    pub(super) transport: Arc<dyn Transport>,
    /// The longest time that a connection may have no stream.
    pub(super) idle_timeout: Duration,
}

impl Source {
    /// Dials, and makes a connection of what it gets.
    pub(super) async fn connect(&self) -> Result<Shared, Error> {
        self.transport.connect(self.dialer.dial().await?, self.idle_timeout).await
    }
}
