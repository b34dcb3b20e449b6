//! Which streams and calls get a handler: the limits of a server over all of its connections, and the queue of those that
//! wait for one. Knows no transport.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kerrors::{ApplicationException, Code};
use tokio::sync::Semaphore;

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

/// Admits the streams and calls of a server.
#[derive(Debug)]
pub(super) struct Admissions {
    max_handlers: usize,
    /// The number of running handlers, if there is no queue.
    running: AtomicUsize,
    /// `None`: what cannot run at once is refused.
    queue: Option<Queue>,
    rate: Option<Rate>,
    memory: MemoryBudget,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    /// First come, first served.
    free: Semaphore,
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
pub(super) struct HandlerPermit(Arc<Admissions>);

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Place(Arc<Admissions>);

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
        let queue = || Queue {
            free: Semaphore::new(max_handlers.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            max_queued,
            max_wait,
        };
        Arc::new(Self {
            max_handlers,
            running: AtomicUsize::new(0),
            queue: (max_queued > 0).then(queue),
            rate: max_qps.map(|limit| Rate::new(limit, clock::now())),
            memory: memory.clone(),
            refused: AtomicU64::new(0),
        })
    }

    /// Returns the right to run a handler.
    pub(super) fn admit(self: &Arc<Self>) -> Result<Admission, Overload> {
        if let Some(limit) = self.memory.refuses_streams() {
            return Err(self.refuse(Overload::Memory(limit)));
        }
        if let Some(rate) = self.rate.as_ref().filter(|rate| !rate.take(clock::now())) {
            return Err(self.refuse(Overload::Qps(rate.limit())));
        }
        let kind = match &self.queue {
            None => self.count().map(Kind::Now),
            Some(queue) => self.enter(queue),
        };
        kind.map(Admission)
    }

    /// Returns a permit, unless too many are in use.
    fn count(self: &Arc<Self>) -> Result<HandlerPermit, Overload> {
        if self.running.fetch_add(1, Ordering::Relaxed) < self.max_handlers {
            return Ok(HandlerPermit(self.clone()));
        }
        self.running.fetch_sub(1, Ordering::Relaxed);
        Err(self.refuse(Overload::Handlers { max_handlers: self.max_handlers, max_queued: 0 }))
    }

    /// Returns a permit, or a place behind those that wait.
    fn enter(self: &Arc<Self>, queue: &Queue) -> Result<Kind, Overload> {
        if queue.waiting.load(Ordering::Relaxed) == 0
            && let Ok(permit) = queue.free.try_acquire()
        {
            permit.forget();
            return Ok(Kind::Now(HandlerPermit(self.clone())));
        }
        if queue.waiting.fetch_add(1, Ordering::Relaxed) < queue.max_queued {
            return Ok(Kind::Queued(Place(self.clone())));
        }
        queue.waiting.fetch_sub(1, Ordering::Relaxed);
        let (max_handlers, max_queued) = (self.max_handlers, queue.max_queued);
        Err(self.refuse(Overload::Handlers { max_handlers, max_queued }))
    }

    fn refuse(&self, overload: Overload) -> Overload {
        self.refused.fetch_add(1, Ordering::Relaxed);
        overload
    }

    pub(super) fn stats(&self) -> ServerStats {
        let free = |queue: &Queue| self.max_handlers.saturating_sub(queue.free.available_permits());
        ServerStats {
            handlers: self.queue.as_ref().map_or_else(|| self.running.load(Ordering::Relaxed), free),
            queued: self.queue.as_ref().map_or(0, |queue| queue.waiting.load(Ordering::Relaxed)),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

impl Drop for HandlerPermit {
    fn drop(&mut self) {
        match &self.0.queue {
            None => drop(self.0.running.fetch_sub(1, Ordering::Relaxed)),
            Some(queue) => queue.free.add_permits(1),
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
        let Self(admissions) = &self;
        let Some(Queue { free, max_wait, .. }) = &admissions.queue else {
            return admissions.count().map_err(Unserved::Refused);
        };
        let timeout = timeout.filter(|timeout| timeout < max_wait);
        tokio::select! {
            biased;
            reason = scope.canceled() => Err(Unserved::Canceled(reason)),
            // Closed never.
            Ok(permit) = free.acquire() => {
                permit.forget();
                Ok(HandlerPermit(admissions.clone()))
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
        if let Some(queue) = &self.0.queue {
            queue.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
