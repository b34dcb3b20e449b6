//! Which streams and calls get a handler: the limits of a server over all of its connections, and the queue of those that
//! wait for one. Knows no transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kerrors::{ApplicationException, Code};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::load::{Counted, Load, Own, reserved};
use super::rate::Rate;
use crate::call::HandlerError;
use crate::cancel::{Reason, Scope};
use crate::clock;
use crate::memory::MemoryBudget;
use crate::overload::Overload;

/// The load of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Running handlers of streams and calls.
    pub handlers: usize,
    /// Streams and calls that wait for a handler.
    pub queued: usize,
    /// Streams and calls that were refused by [`ServerConfig::max_handlers`](super::ServerConfig::max_handlers),
    /// [`ServerConfig::max_queue_wait`](super::ServerConfig::max_queue_wait), [`ServerConfig::max_qps`](super::ServerConfig::max_qps)
    /// or [`ServerConfig::memory`](super::ServerConfig::memory).
    pub refused: u64,
}

/// What limits the streams and calls of a server.
#[derive(Debug)]
pub(super) struct Admissions {
    max_handlers: usize,
    load: Load,
    /// `None`: what cannot run at once is refused.
    queue: Option<Queue>,
    rate: Option<Rate>,
    memory: MemoryBudget,
    refused: AtomicU64,
}

/// Admits the streams and calls of one connection.
#[derive(Debug)]
pub(super) struct Admitter {
    admissions: Arc<Admissions>,
    own: Own,
}

#[derive(Debug)]
struct Queue {
    /// First come, first served.
    free: Semaphore,
    /// The same, for connections below their share.
    reserve: Semaphore,
    reserved: usize,
    waiting: AtomicUsize,
    max_queued: usize,
    max_wait: Duration,
}

/// The right to run a handler, now or when others have returned.
#[derive(Debug)]
#[must_use = "dropping it admits another handler"]
pub struct Admission(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Now(HandlerPermit),
    Queued(Place),
}

/// The right to run one handler, until it is dropped.
#[derive(Debug)]
pub(super) struct HandlerPermit(Arc<Admitter>);

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Place {
    admitter: Arc<Admitter>,
    /// It may have a handler of the reserve too. Decided when it comes, by what its connection runs and what of it waits, so that
    /// those that wait take no more than their connection's share.
    is_entitled: bool,
}

/// Why a stream or call that waited got no handler.
pub(super) enum Unserved {
    Refused(Overload),
    Canceled(Reason),
}

/// A passed deadline has its code, so that the caller can tell it from a failure.
impl From<Unserved> for HandlerError {
    fn from(unserved: Unserved) -> Self {
        match unserved {
            Unserved::Refused(overload) => Self::Overloaded(overload),
            Unserved::Canceled(Reason::DeadlineExceeded) => {
                let code = Code::STREAM_TIMEOUT;
                Self::Refused(ApplicationException::new(code.number(), code.message()))
            }
            Unserved::Canceled(reason) => Self::Returned(reason.into()),
        }
    }
}

impl Admissions {
    /// Returns those of a server that runs `max_handlers` handlers, lets `max_queued` calls wait for at most `max_wait`, and
    /// starts `max_qps` per second, as long as `memory` is not short.
    pub(super) fn new(
        max_handlers: usize,
        max_queued: usize,
        max_wait: Duration,
        max_qps: Option<u32>,
        memory: &MemoryBudget,
    ) -> Arc<Self> {
        let queue = || {
            let max_handlers = max_handlers.min(Semaphore::MAX_PERMITS);
            let reserved = reserved(max_handlers);
            Queue {
                free: Semaphore::new(max_handlers.saturating_sub(reserved)),
                reserve: Semaphore::new(reserved),
                reserved,
                waiting: AtomicUsize::new(0),
                max_queued,
                max_wait,
            }
        };
        Arc::new(Self {
            max_handlers,
            load: Load::new(max_handlers),
            queue: (max_queued > 0).then(queue),
            rate: max_qps.map(|limit| Rate::new(limit, clock::now())),
            memory: memory.clone(),
            refused: AtomicU64::new(0),
        })
    }

    fn refuse(&self, overload: Overload) -> Overload {
        self.refused.fetch_add(1, Ordering::Relaxed);
        overload
    }

    pub(super) fn stats(&self) -> ServerStats {
        ServerStats {
            handlers: self.load.handlers(),
            queued: self.queue.as_ref().map_or(0, |queue| queue.waiting.load(Ordering::Relaxed)),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

impl Admitter {
    /// Returns that of a new connection.
    pub(super) fn new(admissions: &Arc<Admissions>) -> Arc<Self> {
        Arc::new(Self { admissions: admissions.clone(), own: Own::default() })
    }

    /// Returns the load of the server.
    pub(super) fn stats(&self) -> ServerStats {
        self.admissions.stats()
    }

    /// Returns the right to run a handler.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Admission, Overload> {
        let admissions = &self.admissions;
        if let Some(limit) = admissions.memory.refuses_streams(clock::now) {
            return Err(admissions.refuse(Overload::Memory(limit)));
        }
        if let Some(rate) = admissions.rate.as_ref().filter(|rate| !rate.take(clock::now())) {
            return Err(admissions.refuse(Overload::Qps(rate.limit())));
        }
        let kind = match &admissions.queue {
            None => self.run().map(Kind::Now),
            Some(queue) => self.enter(queue),
        };
        kind.map(Admission)
    }

    /// Returns a permit, unless too many are in use.
    fn run(self: &Arc<Self>) -> Result<HandlerPermit, Overload> {
        let Admissions { load, max_handlers, .. } = &*self.admissions;
        let before = load.add(&self.own, Counted::Running);
        if load.admits(before) {
            return Ok(HandlerPermit(self.clone()));
        }
        load.remove(&self.own, Counted::Running);
        let max_handlers = *max_handlers;
        Err(self.admissions.refuse(if load.is_full(before) {
            Overload::Handlers { max_handlers, max_queued: 0 }
        } else {
            Overload::Share { max_handlers, reserved: reserved(max_handlers) }
        }))
    }

    /// Returns a permit, or a place behind those that wait.
    fn enter(self: &Arc<Self>, queue: &Queue) -> Result<Kind, Overload> {
        if queue.waiting.load(Ordering::Relaxed) == 0 && take(&queue.free) {
            return Ok(Kind::Now(self.taken()));
        }
        let Admissions { load, max_handlers, .. } = &*self.admissions;
        let is_entitled = load.entitles(&self.own);
        if is_entitled && take(&queue.reserve) {
            return Ok(Kind::Now(self.taken()));
        }
        if queue.waiting.fetch_add(1, Ordering::Relaxed) < queue.max_queued {
            load.add(&self.own, Counted::Waiting);
            return Ok(Kind::Queued(Place { admitter: self.clone(), is_entitled }));
        }
        queue.waiting.fetch_sub(1, Ordering::Relaxed);
        let (max_handlers, max_queued) = (*max_handlers, queue.max_queued);
        Err(self.admissions.refuse(Overload::Handlers { max_handlers, max_queued }))
    }

    /// Returns the permit of a handler for which the queue has had room.
    fn taken(self: &Arc<Self>) -> HandlerPermit {
        self.admissions.load.add(&self.own, Counted::Running);
        HandlerPermit(self.clone())
    }
}

fn take(free: &Semaphore) -> bool {
    free.try_acquire().map(SemaphorePermit::forget).is_ok()
}

impl Queue {
    /// Gives a handler back, to the reserve as long as something is missing there.
    fn give_back(&self) {
        if self.reserved == 0 {
            return self.free.add_permits(1);
        }
        self.reserve.add_permits(1);
        // Checked afterwards, since others do the same at the same time.
        if self.reserve.available_permits() > self.reserved && take(&self.reserve) {
            self.free.add_permits(1);
        }
    }
}

impl Drop for HandlerPermit {
    fn drop(&mut self) {
        let Admitter { admissions, own } = &*self.0;
        admissions.load.remove(own, Counted::Running);
        if let Some(queue) = &admissions.queue {
            queue.give_back();
        }
    }
}

impl Admission {
    /// Waits for the permit, not after `scope` is canceled, and no longer than `timeout`.
    pub(super) async fn permit(
        self,
        scope: &Scope,
        timeout: Option<Duration>,
    ) -> Result<HandlerPermit, Unserved> {
        match self.0 {
            Kind::Now(permit) => Ok(permit),
            Kind::Queued(place) => place.permit(scope, timeout).await,
        }
    }
}

impl Place {
    /// As [`Admission::permit`].
    pub(super) async fn permit(
        self,
        scope: &Scope,
        timeout: Option<Duration>,
    ) -> Result<HandlerPermit, Unserved> {
        let Admitter { admissions, .. } = &*self.admitter;
        let Some(Queue { free, reserve, max_wait, .. }) = &admissions.queue else {
            return self.admitter.run().map_err(Unserved::Refused);
        };
        let timeout = timeout.filter(|timeout| timeout < max_wait);
        tokio::select! {
            biased;
            reason = scope.canceled() => Err(Unserved::Canceled(reason)),
            // Closed never.
            Ok(permit) = reserve.acquire(), if self.is_entitled => {
                permit.forget();
                Ok(self.admitter.taken())
            }
            Ok(permit) = free.acquire() => {
                permit.forget();
                Ok(self.admitter.taken())
            }
            () = tokio::time::sleep(timeout.unwrap_or(*max_wait)) => Err(match timeout {
                Some(_) => Unserved::Canceled(Reason::DeadlineExceeded),
                None => Unserved::Refused(admissions.refuse(Overload::QueueWait(*max_wait))),
            }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Admitter { admissions, own } = &*self.admitter;
        admissions.load.remove(own, Counted::Waiting);
        if let Some(queue) = &admissions.queue {
            queue.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
