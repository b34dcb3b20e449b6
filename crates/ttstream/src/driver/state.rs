//! What handles, reader and writer of a connection share behind its lock: the machine, who waits for what,
//! and what is to be done once the lock is released. Knows no byte stream, no runtime and no clock.

use std::mem;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Code, Error, Side, StreamError};

use super::observed::WeakStream;
use super::scheduler::{Offer, WriteScheduler};
use crate::cancel::{Cascade, Reason, Scope};
use crate::proto::{
    BATCH, Connection, Event, Finish, Open, StreamKey, StreamSnapshot, Transmit, handler_returned,
};
use crate::{Message, Metadata};

/// A connection, and who waits on it.
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) scheduler: WriteScheduler,
    slots: Vec<Slot>,
    openers: Vec<Waker>,
    /// Tasks that wait until the connection is closed. A task that gave up leaves its waker here until then.
    closers: Vec<Waker>,
    /// The reader, whatever it waits for.
    reader: Option<Waker>,
    /// Since when no handle has held a stream.
    idle_since: Option<Instant>,
    /// When to look whether that is too long.
    idle_look: Option<Instant>,
    /// When the reader's timer fires.
    timer_at: Option<Instant>,
    retired: Retired,
    /// Whether anything came from the peer.
    pub(super) received: bool,
}

/// Whether the connection is to be closed when nothing needs it.
#[derive(PartialEq, Eq)]
enum Retired {
    No,
    Wanted,
    Closing,
}

/// Who waits on one stream.
#[derive(Default)]
pub(super) struct Slot {
    recv: Option<Waker>,
    send: Vec<Waker>,
    scope: Option<Scope>,
    stream: Option<WeakStream>,
}

/// What to do after the lock is released.
#[derive(Default)]
pub(super) struct Actions {
    pub(super) wake: Vec<Waker>,
    pub(super) cancel: Vec<CanceledHandler>,
    pub(super) reset: Vec<(Option<WeakStream>, StreamError)>,
    pub(super) opened: Vec<StreamKey>,
    pub(super) flush: bool,
    pub(super) close: Option<Close>,
}

/// What a read has led to: the tasks that wait for what it has brought, and the streams that it has opened.
pub(super) struct ReadOutcome {
    pub(super) wake: Vec<Waker>,
    pub(super) opened: Vec<StreamKey>,
    /// There is more than one of both, so the writer is corked: what they answer may leave together.
    pub(super) corked: bool,
}

/// A handler whose stream has ended under it. Its scope is closed already: who sees the end of the stream
/// sees that of the scope.
pub(super) struct CanceledHandler {
    pub(super) cascade: Option<Cascade>,
    pub(super) stream: Option<WeakStream>,
    pub(super) error: StreamError,
}

/// When a connection that nobody needs is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Close {
    Now,
    Later,
}

/// What the reader is to wait for.
pub(super) struct Parked {
    pub(super) closed: bool,
    pub(super) paused: bool,
    pub(super) due: Option<Instant>,
}

/// What a peer opened a stream with: method, strings, what is left until its deadline.
pub(super) type Opened = (Bytes, Metadata, Option<Duration>);

impl State {
    pub(super) fn new(connection: Connection, now: Instant, idle: Duration) -> Self {
        Self {
            connection,
            scheduler: WriteScheduler::default(),
            slots: Vec::new(),
            openers: Vec::new(),
            closers: Vec::new(),
            reader: None,
            timer_at: None,
            idle_since: Some(now),
            idle_look: now.checked_add(idle),
            retired: Retired::No,
            received: false,
        }
    }

    pub(super) fn poll_open(
        &mut self,
        cx: &Context<'_>,
        open: &Open<'_>,
        now: Instant,
    ) -> Poll<Result<StreamKey, StreamError>> {
        if self.retired != Retired::No {
            return Poll::Ready(Err(StreamError::new(Code::TRANSPORT_CLOSING).on_side(Side::Client)));
        }
        match self.connection.open(open, now) {
            Ok(Some(key)) => {
                self.scheduler.expect_more();
                Poll::Ready(Ok(key))
            }
            Ok(None) => {
                remember(&mut self.openers, cx.waker());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    pub(super) fn poll_send(
        &mut self,
        cx: &Context<'_>,
        key: StreamKey,
        message: &Message<'_>,
    ) -> Poll<Result<(), Error>> {
        match self.connection.send(key, message) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                remember(&mut self.slot(key).send, cx.waker());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Looks for something that the stream's Recv waits for. The last who waits is woken.
    pub(super) fn poll_recv<R>(
        &mut self,
        cx: &Context<'_>,
        key: StreamKey,
        poll: impl FnOnce(&mut Connection) -> Poll<R>,
    ) -> Poll<R> {
        let result = poll(&mut self.connection);
        if result.is_pending() {
            let slot = self.slot(key);
            match &mut slot.recv {
                Some(waker) => waker.clone_from(cx.waker()),
                None => slot.recv = Some(cx.waker().clone()),
            }
        }
        result
    }

    /// Server: what the peer opened the stream with. From now on `scope` ends when the stream does; gives
    /// what it ended with too, if it has.
    pub(super) fn begin(&mut self, key: StreamKey, scope: &Scope) -> Option<(Opened, Option<StreamError>)> {
        let metadata = self.connection.take_header(key)?;
        let opened = (self.connection.method(key)?.name().clone(), metadata, self.connection.timeout(key));
        match self.connection.outcome(key) {
            Some(Err(Error::Stream(error))) => Some((opened, Some(error))),
            _ => {
                self.slot(key).scope = Some(scope.clone());
                Some((opened, None))
            }
        }
    }

    /// Server: the handler that had `scope` has returned. Gives what ends what it has left behind.
    pub(super) fn finish(&mut self, key: StreamKey, finish: &Finish, scope: &Scope) -> Cascade {
        self.connection.finish(key, finish);
        scope.close(&Reason::Stream(handler_returned()))
    }

    pub(super) fn attach(&mut self, key: StreamKey, stream: WeakStream) {
        self.slot(key).stream = Some(stream);
    }

    pub(super) fn streams(&mut self) -> Vec<(StreamSnapshot, Option<WeakStream>)> {
        let streams: Vec<_> = self.connection.streams().collect();
        streams.into_iter().map(|stream| (stream, self.slot(stream.key).stream.clone())).collect()
    }

    /// No handle of the stream is left. Returns who waited on it, to be dropped without the lock.
    pub(super) fn release(&mut self, key: StreamKey, now: Instant) -> Option<Slot> {
        self.connection.release(key);
        if self.connection.held_streams() == 0 {
            self.idle_since = Some(now);
        }
        self.slots.get_mut(key.index()).map(mem::take)
    }

    /// No new stream is wanted any more.
    pub(super) fn retire(&mut self) {
        if self.retired == Retired::No {
            self.retired = Retired::Wanted;
        }
    }

    /// Ends every stream with `error`. Returns writer, reader and who waits for the end, to be woken.
    pub(super) fn close(&mut self, error: &StreamError) -> Vec<Waker> {
        self.connection.handle_closed(error);
        let mut wake = mem::take(&mut self.closers);
        wake.extend([self.scheduler.take_waker(), self.reader.take()].into_iter().flatten());
        wake
    }

    /// Waits until the connection is closed.
    pub(super) fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.connection.closed().is_some() {
            return Poll::Ready(());
        }
        remember(&mut self.closers, cx.waker());
        Poll::Pending
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.closed().is_none() && self.retired == Retired::No
    }

    /// Returns what the connection was closed with, if nothing came before that and it was not retired here.
    pub(super) fn lost_at_start(&self) -> Option<StreamError> {
        let lost = !self.received && self.retired == Retired::No;
        self.connection.closed().filter(|_| lost).cloned()
    }

    /// The reader waits, and is woken when what it waits for changes.
    pub(super) fn park(&mut self, cx: &Context<'_>) -> Parked {
        self.reader = Some(cx.waker().clone());
        self.timer_at = self.connection.poll_timeout().into_iter().chain(self.idle_look).min();
        Parked {
            closed: self.connection.closed().is_some(),
            paused: self.connection.is_paused(),
            due: self.timer_at,
        }
    }

    /// Whether the connection has been without a stream for too long. Looked at when it may be so for the
    /// first time, so that a stream's end need not wake the reader.
    pub(super) fn check_idle(&mut self, idle: Duration, now: Instant) -> bool {
        if self.idle_look.is_none_or(|look| now < look) {
            return false;
        }
        let empty = self.connection.held_streams() == 0;
        let since = self.idle_since.filter(|_| empty).unwrap_or(now);
        self.idle_look = since.checked_add(idle).filter(|until| *until > now);
        self.idle_look.is_none()
    }

    /// What the last change asks for.
    pub(super) fn collect(&mut self) -> Actions {
        let mut actions = Actions::default();
        while let Some(event) = self.connection.poll_event() {
            self.act(event, &mut actions);
        }
        if self.connection.is_draining() {
            self.retire();
        }
        let due = self.connection.poll_timeout();
        if due.is_some_and(|due| self.timer_at.is_none_or(|at| due < at)) {
            actions.wake.extend(self.reader.take());
        }
        if self.connection.has_transmit() {
            let (queued, urgent) = (self.connection.transmit_bytes(), self.connection.is_urgent());
            match self.scheduler.offer(queued, urgent) {
                Offer::Nothing => {}
                Offer::Write => actions.flush = true,
                Offer::Wake(task) => actions.wake.extend(task),
            }
        } else if self.scheduler.is_idle() && self.connection.live_streams() == 0 {
            actions.close = self.close_if_retired();
        }
        actions
    }

    /// As [`collect`](Self::collect), after a read: the reader wakes those whom it concerns, and then
    /// uncorks the writer, [`WriteScheduler::uncork`].
    pub(super) fn collect_read(&mut self) -> (Actions, ReadOutcome) {
        let mut actions = self.collect();
        let (wake, opened) = (mem::take(&mut actions.wake), mem::take(&mut actions.opened));
        let corked = wake.len().saturating_add(opened.len()) > 1;
        if corked {
            self.scheduler.cork();
        }
        (actions, ReadOutcome { wake, opened, corked })
    }

    /// Returns the next batch, or what is left of the last; `None` if there is nothing, and then nobody
    /// writes. `done` is the batch that the caller has written to its end: its memory serves for the next.
    pub(super) fn next_batch(&mut self, done: Option<Transmit>) -> Option<Transmit> {
        let mut batch = done.unwrap_or_else(|| self.scheduler.take_batch());
        if self.connection.closed().is_none()
            && (!batch.is_empty() || self.connection.poll_transmit(&mut batch))
        {
            self.scheduler.on_batch(&batch);
            return Some(batch);
        }
        self.scheduler.end(batch);
        None
    }

    /// As [`next_batch`](Self::next_batch), for the task; `None` too if a sender writes meanwhile.
    pub(super) fn begin_batch(&mut self, done: Option<Transmit>) -> Option<Transmit> {
        if self.scheduler.begin_task() { self.next_batch(done) } else { None }
    }

    /// Waits until the task may write; `None` when the connection is closed. Returns whether a whole batch
    /// is queued, so that there is nothing to wait for.
    pub(super) fn poll_writer_task(&mut self, cx: &Context<'_>) -> Poll<Option<bool>> {
        if self.connection.closed().is_some() {
            return Poll::Ready(None);
        }
        self.scheduler.poll_task(cx).map(|()| Some(self.connection.transmit_bytes() >= BATCH))
    }

    /// Nothing needs the connection any more. Told once.
    fn close_if_retired(&mut self) -> Option<Close> {
        if self.retired != Retired::Wanted || self.connection.closed().is_some() {
            return None;
        }
        self.retired = Retired::Closing;
        Some(if self.connection.has_canceled() { Close::Later } else { Close::Now })
    }

    fn act(&mut self, event: Event, actions: &mut Actions) {
        match event {
            Event::Opened(key) => actions.opened.push(key),
            Event::Readable(key) => actions.wake.extend(self.slot(key).recv.take()),
            Event::Writable(key) => actions.wake.append(&mut self.slot(key).send),
            Event::Openable => actions.wake.append(&mut self.openers),
            Event::Resumed => actions.wake.extend(self.reader.take()),
            Event::Canceled(key, error) => {
                let slot = self.slot(key);
                let reason = Reason::Stream(error.clone());
                let cascade = slot.scope.as_ref().map(|scope| scope.close(&reason));
                actions.cancel.push(CanceledHandler { cascade, stream: slot.stream.clone(), error });
            }
            Event::Reset(key, error) => actions.reset.push((self.slot(key).stream.clone(), error)),
        }
    }

    /// For models: nothing is kept for a stream that is gone.
    #[cfg(all(test, loom))]
    pub(super) fn nobody_waits(&self) -> bool {
        let empty = |slot: &Slot| slot.recv.is_none() && slot.send.is_empty() && slot.scope.is_none();
        self.openers.is_empty() && self.closers.is_empty() && self.slots.iter().all(empty)
    }

    #[expect(clippy::indexing_slicing, reason = "the slot is made if it is not there")]
    fn slot(&mut self, key: StreamKey) -> &mut Slot {
        let index = key.index();
        if index >= self.slots.len() {
            self.slots.resize_with(index.saturating_add(1), Slot::default);
        }
        &mut self.slots[index]
    }
}

fn remember(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}
