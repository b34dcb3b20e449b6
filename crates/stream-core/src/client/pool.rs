//! Which connection a stream gets. Mux: several streams share one. Long: a stream has one to itself and
//! gives it back. Short: a stream has one to itself, and it ends with it.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kerrors::Error;
use tokio::sync::oneshot;

use super::dial::Dialer;
use crate::cores::{Place, processors};
use crate::driver::Link;
use crate::sync::Mutex;

/// How streams share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolKind {
    /// All streams share this many connections (one at least); a new stream gets the least loaded. Threads
    /// of [`Cores`](crate::Cores) have each their own of them, if there are as many.
    Mux(usize),
    /// A stream has a connection to itself, and gives it back when it has ended cleanly.
    Long {
        /// Connections that wait for a stream at most.
        max_idle: usize,
        /// How long one may wait.
        idle_timeout: Duration,
    },
    /// A stream has a connection to itself, and it ends with the stream.
    Short,
}

impl Default for PoolKind {
    /// Mux with one connection a core.
    fn default() -> Self {
        Self::Mux(processors())
    }
}

impl PoolKind {
    /// Long connections: 100 idle at most, for 60 s.
    pub const fn long() -> Self {
        Self::Long { max_idle: 100, idle_timeout: Duration::from_secs(60) }
    }
}

/// A connection for one stream.
pub(super) struct Checkout {
    pub(super) link: Arc<Link>,
    pub(super) lease: Option<Lease>,
}

#[derive(Debug)]
pub(super) struct Pool {
    dialer: Arc<Dialer>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Mux(Vec<Arc<Mutex<Slot>>>),
    Long(Arc<Idles>),
    Short,
}

impl Pool {
    pub(super) fn new(dialer: Arc<Dialer>, kind: PoolKind) -> Self {
        let kind = match kind {
            PoolKind::Mux(size) => Kind::Mux((0..size.max(1)).map(|_| Arc::default()).collect()),
            PoolKind::Long { max_idle, .. } => {
                Kind::Long(Arc::new(Idles { links: Mutex::default(), max_idle }))
            }
            PoolKind::Short => Kind::Short,
        };
        Self { dialer, kind }
    }

    pub(super) async fn get(&self) -> Result<Checkout, Error> {
        match &self.kind {
            Kind::Mux(slots) => {
                let link = Slot::get(pick(slots), &self.dialer).await?;
                Ok(Checkout { link, lease: None })
            }
            Kind::Long(idles) => {
                let link = match idles.take() {
                    Some(link) => link,
                    None => self.dialer.link().await?,
                };
                let lease = Lease { link: link.clone(), home: Arc::downgrade(idles) };
                Ok(Checkout { link, lease: Some(lease) })
            }
            Kind::Short => {
                let link = self.dialer.link().await?;
                let lease = Lease { link: link.clone(), home: Weak::new() };
                Ok(Checkout { link, lease: Some(lease) })
            }
        }
    }
}

/// How a client's connections stand. Ping-pong calls' are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Shared connections that are open; of a long pool, those that wait for a stream.
    pub connections: usize,
    /// Streams on shared connections.
    pub streams: usize,
    /// Dials that were tried, those of ping-pong calls too.
    pub dials: u64,
    /// Those of them that failed.
    pub failed_dials: u64,
}

impl Pool {
    pub(super) async fn close(&self) {
        let links: Vec<Arc<Link>> = match &self.kind {
            Kind::Mux(slots) => {
                slots.iter().filter_map(|slot| mem::take(&mut *slot.lock()).into_link()).collect()
            }
            Kind::Long(idles) => idles.take_all(),
            Kind::Short => Vec::new(),
        };
        links.iter().for_each(|link| link.retire());
        for link in links.iter().filter(|link| link.live_streams() == 0) {
            link.closed().await;
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let links: Vec<Arc<Link>> = match &self.kind {
            Kind::Mux(slots) => slots.iter().filter_map(|slot| slot.lock().link()).collect(),
            Kind::Long(idles) => idles.links.lock().iter().filter_map(Weak::upgrade).collect(),
            Kind::Short => Vec::new(),
        };
        PoolStats {
            connections: links.iter().filter(|link| link.is_open()).count(),
            streams: links.iter().map(|link| link.live_streams()).sum(),
            dials: self.dialer.dials.load(Ordering::Relaxed),
            failed_dials: self.dialer.failed_dials.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Kind::Mux(slots) = &self.kind {
            let links = slots.iter().filter_map(|slot| mem::take(&mut *slot.lock()).into_link());
            links.for_each(|link| link.retire());
        }
    }
}

/// The place of one shared connection.
#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    /// Somebody dials; these wait for what comes of it.
    Dialing(Vec<oneshot::Sender<Result<Arc<Link>, Error>>>),
    Ready(Arc<Link>),
}

impl Slot {
    /// The slot's connection; dials if there is none, once for all who wait.
    async fn get(slot: &Arc<Mutex<Self>>, dialer: &Arc<Dialer>) -> Result<Arc<Link>, Error> {
        let dialed = {
            let mut state = slot.lock();
            match &mut *state {
                Self::Ready(link) if link.is_open() => return Ok(link.clone()),
                Self::Dialing(waiting) => join(waiting),
                Self::Ready(_) | Self::Empty => {
                    let mut waiting = Vec::new();
                    let dialed = join(&mut waiting);
                    *state = Self::Dialing(waiting);
                    // On a task of its own: the dial outlives a caller that gives up.
                    tokio::spawn(Self::dial(slot.clone(), dialer.clone()));
                    dialed
                }
            }
        };
        dialed.await.unwrap_or_else(|_| Err(Error::network("runtime is shutting down")))
    }

    async fn dial(slot: Arc<Mutex<Self>>, dialer: Arc<Dialer>) {
        let result = dialer.link().await;
        let next = result.as_ref().map_or(Self::Empty, |link| Self::Ready(link.clone()));
        let before = mem::replace(&mut *slot.lock(), next);
        if let Self::Dialing(waiting) = before {
            for waiter in waiting {
                // A waiter that gave up does not care.
                let _ = waiter.send(result.clone());
            }
        }
    }

    fn link(&self) -> Option<Arc<Link>> {
        match self {
            Self::Ready(link) => Some(link.clone()),
            Self::Dialing(_) | Self::Empty => None,
        }
    }

    fn into_link(self) -> Option<Arc<Link>> {
        match self {
            Self::Ready(link) => Some(link),
            Self::Dialing(_) | Self::Empty => None,
        }
    }

    /// How much stands against this slot: streams that it has, or what a dial costs.
    fn load(&self) -> usize {
        match self {
            Self::Ready(link) if link.is_open() => link.live_streams(),
            Self::Ready(_) | Self::Empty => 0,
            Self::Dialing(waiting) => waiting.len(),
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Dialing(_) => "Dialing",
            Self::Ready(_) => "Ready",
        })
    }
}

type Dialed = oneshot::Receiver<Result<Arc<Link>, Error>>;

fn join(waiting: &mut Vec<oneshot::Sender<Result<Arc<Link>, Error>>>) -> Dialed {
    let (sender, receiver) = oneshot::channel();
    waiting.push(sender);
    receiver
}

/// The least loaded slot; there is one at least. On a thread of [`Cores`](crate::Cores) one of those that
/// are that thread's, if there are enough, so that a stream and its connection live on the same.
#[expect(clippy::indexing_slicing, reason = "a pool has one slot at least")]
fn pick(slots: &[Arc<Mutex<Slot>>]) -> &Arc<Mutex<Slot>> {
    let (first, step) = match Place::here() {
        Some(Place { index, count }) if count <= slots.len() => (index, count),
        _ => (0, 1),
    };
    let own = slots.iter().skip(first).step_by(step);
    own.min_by_key(|slot| slot.lock().load()).unwrap_or(&slots[0])
}

/// Connections that wait for a stream of their own. One that has waited too long closes by itself, and is
/// then nobody's.
#[derive(Debug)]
pub(crate) struct Idles {
    links: Mutex<VecDeque<Weak<Link>>>,
    max_idle: usize,
}

impl Idles {
    /// The one that was used last, if it is still good.
    fn take(&self) -> Option<Arc<Link>> {
        let next = || self.links.lock().pop_back();
        std::iter::from_fn(next).filter_map(|link| link.upgrade()).find(|link| link.is_open())
    }

    /// Keeps one; the oldest goes if they are too many.
    fn put(&self, link: &Arc<Link>) {
        let mut links = self.links.lock();
        links.retain(|link| link.strong_count() > 0);
        links.push_back(Arc::downgrade(link));
        let oldest = if links.len() > self.max_idle { links.pop_front() } else { None };
        drop(links);
        oldest.and_then(|link| link.upgrade()).into_iter().for_each(|link| link.retire());
    }

    fn take_all(&self) -> Vec<Arc<Link>> {
        mem::take(&mut *self.links.lock()).iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Idles {
    fn drop(&mut self) {
        self.take_all().into_iter().for_each(|link| link.retire());
    }
}

/// A connection that a stream has to itself. Dropped after the stream is released.
#[derive(Debug)]
pub(crate) struct Lease {
    link: Arc<Link>,
    home: Weak<Idles>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.home.upgrade() {
            Some(idles) if self.link.is_open() && self.link.is_clean() => idles.put(&self.link),
            _ => self.link.retire(),
        }
    }
}
