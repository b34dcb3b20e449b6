//! The state that the streams of one connection share.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use kerrors::Error;
use stream_core::cancel::Label;
use stream_core::clock;
use stream_core::io::Address;
use stream_core::memory::Shed;
use stream_core::observe::{Inspect, Listed, StreamView};
use stream_core::sync::Mutex;
use tokio::sync::watch;

use crate::held::{Holds, Memory};
use crate::observed::{View, views};
use crate::origin::Origins;
use crate::wake::Watch;
use crate::wire::Wire;
use crate::{GrpcConfig, status};

/// A connection on which a stream was reset stays open for so long: a Kitex server that meets the end of a
/// connection may pass over the reset that came just before.
const LINGER: Duration = Duration::from_millis(250);

/// A client's connection.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) local: Address,
    pub(super) peer: Address,
    pub(super) config: GrpcConfig,
    idle_timeout: Duration,
    pub(super) origins: Arc<Origins>,
    pub(super) requests: Mutex<Requests>,
    /// What is known of the other end.
    pub(super) wire: Arc<Wire>,
    pub(super) times: Mutex<Times>,
    pub(super) closed: watch::Sender<bool>,
    /// The streams that the connection's task has to check.
    pub(super) watch: Arc<Watch>,
    /// Every stream that has a handle, by its id.
    streams: Mutex<BTreeMap<u32, Weak<dyn Watched>>>,
    pub(super) memory: Memory,
    _listed: Listed,
}

/// A stream that the connection's task finds by its id.
pub(super) trait Watched: View + Holds {
    /// Passes the messages that wait to h2. Called by the connection's task.
    fn flush(&self);

    /// Takes the header of the response from h2, and interim responses. Called by the connection's task.
    fn take_header(&self);
}

/// What opens streams, and keeps the connection open.
#[derive(Default)]
pub(super) struct Requests {
    /// `None` once the connection is closed, or about to be.
    pub(super) handle: Option<SendRequest<Bytes>>,
    /// It takes no new stream.
    pub(super) retired: bool,
    /// The connection's task.
    pub(super) driver: Option<Waker>,
    /// What it was lost with.
    pub(super) lost: Option<Error>,
}

/// Returns the time from which a new connection counts as idle. It is dialed for a stream, which the connection's task
/// must not forestall, however short the idle timeout is.
fn first_idle(now: Instant) -> Instant {
    now.checked_add(LINGER).unwrap_or(now)
}

#[derive(Debug)]
pub(super) struct Times {
    /// The time since which there is no stream.
    pub(super) idle: Instant,
    /// The time of the last reset of a stream.
    pub(super) reset: Option<Instant>,
}

impl Link {
    pub(super) fn new(
        [local, peer]: [Address; 2],
        config: GrpcConfig,
        idle_timeout: Duration,
        origins: Arc<Origins>,
        requests: SendRequest<Bytes>,
        wire: Arc<Wire>,
        memory: Memory,
    ) -> Arc<Self> {
        let link = Arc::new_cyclic(|this| Self {
            memory,
            number: Label::next_connection(),
            local,
            peer,
            config,
            idle_timeout,
            origins,
            requests: Mutex::new(Requests { handle: Some(requests), ..Requests::default() }),
            wire,
            times: Mutex::new(Times { idle: first_idle(clock::now()), reset: None }),
            closed: watch::Sender::new(false),
            watch: Arc::default(),
            streams: Mutex::default(),
            _listed: Listed::new(Weak::<Self>::clone(this)),
        });
        link.memory.register(Arc::<Self>::downgrade(&link));
        link
    }

    /// Returns every stream that has a handle.
    pub(super) fn all(&self) -> Vec<Arc<dyn Watched>> {
        self.streams.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Adds a stream to those that views show and that the connection's task finds.
    pub(super) fn add(&self, id: u32, stream: Weak<dyn Watched>) {
        self.streams.lock().insert(id, stream);
    }

    fn find(&self, id: u32) -> Option<Arc<dyn Watched>> {
        self.streams.lock().get(&id).and_then(Weak::upgrade)
    }

    /// Passes the messages of the streams that are queued to h2. Returns whether there were any streams.
    pub(super) fn flush_queued(&self) -> bool {
        let keys = self.watch.take();
        // Without the lock of the table: each may be the last handle.
        let streams = keys.iter().filter_map(|key| self.find(u32::try_from(*key).ok()?));
        streams.for_each(|stream| stream.flush());
        !keys.is_empty()
    }

    /// Takes from h2 what has come before the messages of streams: no Recv may wait for it, and no window bounds it.
    pub(super) fn take_headers(&self, streams: &mut Vec<u32>) {
        self.wire.take_blocks(streams);
        streams.iter().filter_map(|id| self.find(*id)).for_each(|stream| stream.take_header());
    }

    /// Ends the waits for the connection's task, which has ended.
    pub(super) fn flush_all(&self) {
        self.all().iter().for_each(|stream| stream.flush());
    }

    pub(super) fn remove(&self, id: u32) {
        self.streams.lock().remove(&id);
    }

    pub(super) fn failed(&self, error: &h2::Error) -> Error {
        status::failed(error, &self.peer, false).into()
    }

    /// Records the end of a stream, by a reset of this end or otherwise.
    pub(super) fn ended(&self, was_reset: bool) {
        let now = clock::now();
        let mut times = self.times.lock();
        times.idle = now;
        if was_reset {
            times.reset = Some(now);
        }
        drop(times);
        if self.wire.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            if self.idle_timeout.is_zero() {
                self.requests.lock().retired = true;
            }
            self.wake_retired();
        }
    }

    /// Returns what `ask` returns for the handle that opens streams, if the connection still takes any. A clone of the handle
    /// would take h2's lock twice more, for which the connection's task and all streams contend.
    pub(super) fn ask_opener<T>(&self, ask: impl FnOnce(&mut SendRequest<Bytes>) -> T) -> Option<T> {
        let mut requests = self.requests.lock();
        if requests.retired { None } else { requests.handle.as_mut().map(ask) }
    }

    /// The connection takes no new stream, and closes when its last has ended.
    pub(super) fn retire(&self) {
        self.requests.lock().retired = true;
        self.wake_retired();
    }

    /// Returns when to check again whether the idle timeout has passed, after it has.
    pub(super) fn next_idle(&self, now: Instant) -> Instant {
        now.checked_add(self.idle_timeout.max(Duration::from_secs(1))).unwrap_or(now)
    }

    /// Wakes the connection's task if it may have to close the connection.
    fn wake_retired(&self) {
        let mut requests = self.requests.lock();
        let driver = if requests.retired { requests.driver.take() } else { None };
        drop(requests);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Closes a connection that is retired and has no stream. Returns when to look again: after a reset it stays for a
    /// while. To be called by the connection's task.
    pub(super) fn close_if_done(&self, cx: &Context<'_>, now: Instant) -> Option<Instant> {
        let due =
            self.times.lock().reset.and_then(|reset| reset.checked_add(LINGER)).filter(|due| *due > now);
        let mut requests = self.requests.lock();
        if !requests.driver.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            requests.driver = Some(cx.waker().clone());
        }
        if !requests.retired || self.wire.live.load(Ordering::Acquire) > 0 {
            return None;
        }
        let handle = if due.is_none() { requests.handle.take() } else { None };
        drop(requests);
        drop(handle);
        due
    }

    /// The connection is gone.
    pub(super) fn close(&self) {
        self.close_with(&"EOF peer close");
    }

    /// The connection is gone because of `error`.
    pub(super) fn close_with(&self, error: &dyn std::fmt::Display) {
        let lost = Error::from(status::lost(&self.peer, error));
        let mut requests = self.requests.lock();
        let lost = if requests.retired { requests.lost.take() } else { Some(lost) };
        let known = mem::replace(&mut *requests, Requests { retired: true, lost, ..Requests::default() });
        drop(requests);
        drop(known);
        self.closed.send_replace(true);
    }

    /// Returns when the idle timeout of the connection passes.
    pub(super) fn idle_due(&self, now: Instant) -> Instant {
        let since = if self.wire.live.load(Ordering::Relaxed) == 0 { self.times.lock().idle } else { now };
        since.checked_add(self.idle_timeout).unwrap_or(now)
    }
}

impl Inspect for Link {
    fn views(&self) -> Vec<StreamView> {
        views(&self.all())
    }
}

impl Shed for Link {
    fn shed(&self, _: usize) -> usize {
        // No stream ends before h2 has written its requests.
        self.memory.shed(&self.all(), usize::MAX, 0)
    }
}
