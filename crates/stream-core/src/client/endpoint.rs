//! One instance of a client's service: its connections, its backoff and its load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kerrors::Error;
use tokio::runtime::Handle;

use super::outcomes::{Ejections, Outcomes};
use super::pool::{Checkout, Pool};
use crate::dial::Dialer;
use crate::stream::{Held, Lease};
use crate::{clock, rt};

/// One instance of a client's service. Known by its address: its weight and tags may change.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) dialer: Arc<Dialer>,
    pub(super) pool: Pool,
    /// Streams and calls, those that are being opened included.
    pub(super) load: Arc<AtomicUsize>,
    outcomes: Outcomes,
    is_probed: AtomicBool,
}

/// How long a stream waits for the dial of an instance while another instance could be tried: if a connection to it is
/// open, and if none is.
const DIAL_BESIDE_OPEN: Duration = Duration::from_millis(50);
const DIAL_BESIDE_OTHERS: Duration = Duration::from_millis(250);

/// What else an opening can use if the dial of an instance takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    None,
    Untried,
    Open,
    /// Others whose dials take long too, for which this time is to be waited.
    Slow(Duration),
}

impl Others {
    /// Returns how long to wait for a dial.
    pub(super) fn limit(self) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Untried => Some(DIAL_BESIDE_OTHERS),
            Self::Open => Some(DIAL_BESIDE_OPEN),
            Self::Slow(limit) => Some(limit),
        }
    }
}

impl Endpoint {
    pub(super) fn new(dialer: Arc<Dialer>, pool: Pool, ejections: Ejections) -> Self {
        Self {
            dialer,
            pool,
            load: Arc::default(),
            outcomes: Outcomes::new(ejections),
            is_probed: AtomicBool::new(false),
        }
    }

    /// Returns whether nothing speaks against the instance.
    pub(super) fn is_healthy(&self) -> bool {
        !self.dialer.is_failing() && !self.is_outlier()
    }

    /// Returns whether its streams and calls keep failing: then other instances are preferred for a while.
    pub(super) fn is_outlier(&self) -> bool {
        self.outcomes.is_ejected(clock::now)
    }

    /// A connection of it has closed. If that was the last, the instance shuts down or restarts: others are preferred.
    pub(super) fn connection_lost(&self) {
        if self.pool.is_left() {
            self.dialer.eject();
        }
    }

    pub(super) fn address(&self) -> &Arc<str> {
        self.dialer.address()
    }

    /// Returns a connection for one stream; `None` if its dial takes long and there are `others`. Then the dial continues if
    /// the pool has tasks for dials, and is given up if not: [`probe`](Self::probe) tries the instance again.
    pub(super) async fn checkout(&self, fresh: bool, others: Others) -> Option<Result<Checkout, Error>> {
        let limit = others.limit().filter(|_| !self.pool.has_open());
        rt::timeout_if(limit, self.pool.get(fresh)).await
    }

    /// Dials an instance that could not be reached, on a task of its own, once its ejection has passed: no call pays for
    /// the attempt.
    pub(super) fn probe(self: &Arc<Self>) {
        if !self.dialer.is_probe_due() || self.is_probed.swap(true, Ordering::AcqRel) {
            return;
        }
        // Made before the task: whatever ends the task permits the next probe.
        let probe = Probe(self.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // The connection waits in the pool. An error is recorded by the dialer.
                if probe.0.pool.get(true).await.is_ok() {
                    // It may have been open already: its dial took long, and then no other would say so.
                    probe.0.dialer.reached();
                }
            });
        }
    }
}

struct Probe(Arc<Endpoint>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.is_probed.store(false, Ordering::Release);
    }
}

/// Counts a stream or call as load of an instance until it is dropped.
#[derive(Debug)]
pub(super) struct Load(Arc<Endpoint>);

impl Load {
    pub(super) fn of(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.load.fetch_add(1, Ordering::Relaxed);
        Self(endpoint.clone())
    }
}

impl Held for Load {
    fn ended(&self, error: Option<&Error>) {
        self.0.outcomes.record(error, clock::now());
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a stream holds of the instance that it was balanced to.
pub(super) struct Placed {
    pub(super) lease: Option<Lease>,
    pub(super) load: Load,
}

impl Held for Placed {
    fn ended(&self, error: Option<&Error>) {
        self.lease.iter().for_each(|lease| lease.ended(error));
        self.load.ended(error);
    }
}
