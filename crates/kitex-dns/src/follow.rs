//! When SRV records are looked up: again when they expire, and with a backoff after a failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::Name;
use stream_core::client::SharedInstances;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::lookup::{Fault, Found, Known, look_up, resolver};

/// What is looked up, where and how often.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) name: Name,
    /// `None`: those of the system.
    pub(crate) servers: Option<Arc<[SocketAddr]>>,
    pub(crate) max_interval: Duration,
}

/// The shortest time between two lookups: records may have a time to live of 0.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a lookup that failed: the first, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// The time limit of a lookup with all its queries.
const LIMIT: Duration = Duration::from_secs(60);

/// Sets the instances that `query` finds, now and whenever they change. Does not end by itself.
pub(crate) async fn follow(query: Query, instances: SharedInstances) {
    let mut follower = Follower { query, resolver: None, known: Known::default(), pause: FIRST_PAUSE };
    let mut current = Vec::new();
    loop {
        let wait = match follower.next().await {
            Ok(found) => {
                let wait = follower.wait(&found);
                if current != found.instances {
                    instances.set(found.instances.iter().cloned());
                    current = found.instances;
                }
                wait
            }
            Err(fault) => {
                warn!(name = %follower.query.name, %fault, "SRV records were not looked up: the last instances stay");
                follower.pause()
            }
        };
        sleep(wait).await;
    }
}

struct Follower {
    query: Query,
    /// `None`: it is made from the current configuration.
    resolver: Option<TokioResolver>,
    known: Known,
    /// The pause after the next failure.
    pause: Duration,
}

impl Follower {
    async fn next(&mut self) -> Result<Found, Fault> {
        let found = timeout(LIMIT, self.look_up()).await.unwrap_or(Err(Fault::Timeout));
        if found.is_err() {
            // The system's configuration may have changed.
            self.resolver = None;
        }
        found
    }

    async fn look_up(&mut self) -> Result<Found, Fault> {
        let resolver = match &self.resolver {
            Some(resolver) => resolver,
            None => self.resolver.insert(resolver(self.query.servers.clone()).await?),
        };
        look_up(resolver, &self.query.name, &mut self.known).await
    }

    /// Returns the time until the next lookup after one that succeeded, at least in part.
    fn wait(&mut self, found: &Found) -> Duration {
        let expiry = found.ttl.min(self.query.max_interval).max(MIN_INTERVAL);
        match &found.incomplete {
            None => {
                self.pause = FIRST_PAUSE;
                expiry
            }
            Some(fault) => {
                warn!(name = %self.query.name, %fault, "addresses of a target of an SRV record were not looked up");
                expiry.min(self.pause())
            }
        }
    }

    /// Returns the pause after a failure.
    fn pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(LAST_PAUSE);
        pause
    }
}
