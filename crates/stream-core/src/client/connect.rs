//! Makes the connections to one instance.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kerrors::Error;

use crate::dial::Dialer;
use crate::sync::Mutex;
use crate::transport::{Connection, Transport};

/// A connection of any transport.
pub(super) type Shared = Arc<dyn Connection>;

/// Makes the connections to one instance.
pub(super) struct Source {
    pub(super) dialer: Arc<Dialer>,
    transport: Arc<dyn Transport>,
    /// The longest time that a connection may have no stream.
    idle_timeout: Duration,
    made: Mutex<Made<dyn Connection>>,
}

/// The connections that were made. Those that are gone are removed whenever there are twice as many as then were left, so
/// that a connection costs the same however many others there are.
struct Made<T: ?Sized> {
    connections: Vec<Weak<T>>,
    sweep_at: usize,
    /// The instance is gone.
    is_retired: bool,
}

impl<T: ?Sized> Default for Made<T> {
    fn default() -> Self {
        Self { connections: Vec::new(), sweep_at: 0, is_retired: false }
    }
}

impl<T: ?Sized> Made<T> {
    fn add(&mut self, connection: Weak<T>) {
        if self.connections.len() >= self.sweep_at {
            self.connections.retain(|connection| connection.strong_count() > 0);
            self.sweep_at = self.connections.len().saturating_mul(2).max(MIN_SWEEP);
        }
        self.connections.push(connection);
    }
}

const MIN_SWEEP: usize = 64;

impl Source {
    pub(super) fn new(dialer: Arc<Dialer>, transport: Arc<dyn Transport>, idle_timeout: Duration) -> Self {
        Self { dialer, transport, idle_timeout, made: Mutex::default() }
    }

    /// Dials, and starts the transport's connection on the byte stream.
    pub(super) async fn connect(&self) -> Result<Shared, Error> {
        let io = self.dialer.dial().await?;
        let connection = self.transport.connect(io, self.idle_timeout).await;
        let connection = connection.inspect_err(|error| self.dialer.connection_ended(Some(error.clone())))?;
        let is_retired = {
            let mut made = self.made.lock();
            made.add(Arc::downgrade(&connection));
            made.is_retired
        };
        if is_retired {
            connection.retire();
        }
        Ok(connection)
    }

    /// Retires every connection, those that are being made too.
    pub(super) fn retire(&self) {
        let connections = {
            let mut made = self.made.lock();
            made.is_retired = true;
            std::mem::take(&mut made.connections)
        };
        connections.iter().filter_map(Weak::upgrade).for_each(|connection| connection.retire());
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("dialer", &self.dialer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn connections_of_a_pool_are_counted_in_linear_time_and_removed() {
        let (mut all, began) = (Made::default(), Instant::now());
        let open: Arc<str> = Arc::from("open");
        for _ in 0..1_000_000 {
            all.add(Arc::downgrade(&open));
        }
        // Quadratic time would be 5 * 10^11 steps: minutes.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(all.connections.len(), 1_000_000);
        drop(open);
        let closed = || Arc::downgrade(&Arc::<str>::from("closed"));
        (0..2_000_000).for_each(|_| all.add(closed()));
        assert!(all.connections.len() <= 2 * MIN_SWEEP, "{}", all.connections.len());
    }
}
