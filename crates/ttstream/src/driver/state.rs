//! The state that handles, reader and writer of a connection share behind its lock: the state machine, the
//! wakers, and the actions to run once the lock is released. Knows no byte stream, no runtime and no clock.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kerrors::{Code, Error, Side, StreamError};

use super::actions::{Actions, CanceledHandler, Close, ReadOutcome};
use super::observed::{HeldStream, WeakStream};
use super::scheduler::{Offer, WriteScheduler};
use crate::cancel::{Cascade, Reason, Scope};
use crate::proto::{
    BATCH, Connection, Event, Finish, Method, Open, StreamKey, StreamSnapshot, Transmit, handler_returned,
};
use crate::{Message, Metadata};

/// A connection, and the wakers of tasks that wait on it.
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) scheduler: WriteScheduler,
    slots: Vec<Slot>,
    openers: Vec<Waker>,
    /// Tasks that wait until the connection is closed. The waker of a dropped wait stays here until then.
    closers: Vec<Waker>,
    /// The waker of the reader.
    reader: Option<Waker>,
    /// The time since which there is no stream.
    idle_since: Option<Instant>,
    /// When to check the idle timeout next.
    idle_look: Option<Instant>,
    /// When the reader's timer is set to fire.
    timer_at: Option<Instant>,
    retired: Retired,
    /// The connection refuses new streams and stays open meanwhile.
    is_kept: bool,
    /// Whether anything was received.
    pub(super) received: bool,
    /// Whether the peer has reset the byte stream: it has not read all that was sent.
    pub(super) unread: bool,
    /// A waker that another has replaced, to be dropped without the lock: it is foreign code.
    replaced: Option<Waker>,
    /// Whether the peer has closed its end.
    pub(super) ending: bool,
}

/// Whether the connection is to be closed when it has no stream and nothing is queued.
#[derive(PartialEq, Eq)]
enum Retired {
    No,
    Wanted,
    Closing,
}

/// The wakers of tasks that wait on one stream.
#[derive(Default)]
pub(super) struct Slot {
    recv: Option<Waker>,
    /// Few streams have a Send that waits.
    #[expect(clippy::box_collection, reason = "a third of the size, once for each stream")]
    send: Option<Box<Vec<Waker>>>,
    scope: Option<Scope>,
    stream: Option<WeakStream>,
}

impl Slot {
    /// Keeps the stream until its end is recorded, without the lock.
    fn held(&self) -> Option<HeldStream> {
        self.stream.as_ref().and_then(WeakStream::hold)
    }
}

/// The events that the reader is to wait for.
pub(super) struct Parked {
    pub(super) closed: bool,
    pub(super) paused: bool,
    pub(super) due: Option<Instant>,
}

/// The head of a stream that a peer has opened: method, strings, time left until its deadline.
pub(super) type Opened = (Arc<Method>, Metadata, Option<Duration>);

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
            is_kept: false,
            received: false,
            unread: false,
            replaced: None,
            ending: false,
        }
    }

    pub(super) fn poll_open(
        &mut self,
        cx: &Context<'_>,
        open: &Open<'_>,
        now: Instant,
    ) -> Poll<Result<StreamKey, StreamError>> {
        if self.retired != Retired::No || self.ending {
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
                remember(self.slot(key).send.get_or_insert_default(), cx.waker());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Polls for something that the stream's Recv waits for. Of several waiting tasks the last is woken.
    pub(super) fn poll_recv<R>(
        &mut self,
        cx: &Context<'_>,
        key: StreamKey,
        poll: impl FnOnce(&mut Connection) -> Poll<R>,
    ) -> Poll<R> {
        let result = poll(&mut self.connection);
        if result.is_pending() {
            let known = &mut self.slot(key).recv;
            if !known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                self.replaced = known.replace(cx.waker().clone());
            }
        }
        result
    }

    /// Server: returns the head of the stream. From now on `scope` ends with the stream; also returns the
    /// error that the stream ended with, if it has ended.
    pub(super) fn begin(&mut self, key: StreamKey, scope: &Scope) -> Option<(Opened, Option<StreamError>)> {
        let metadata = self.connection.take_header(key)?;
        let opened = (self.connection.method(key)?.clone(), metadata, self.connection.timeout(key));
        match self.connection.outcome(key) {
            Some(Err(Error::Stream(error))) => Some((opened, Some(error))),
            _ => {
                self.slot(key).scope = Some(scope.clone());
                Some((opened, None))
            }
        }
    }

    /// Server: ends the stream because the handler that had `scope` has returned. Returns the cascade that
    /// cancels the streams it has left open.
    pub(super) fn finish(&mut self, key: StreamKey, finish: &Finish, scope: &Scope) -> Cascade {
        self.connection.finish(key, finish);
        scope.close(&Reason::Stream(handler_returned()))
    }

    /// Server: refuses a stream whose handler was to have `scope`.
    pub(super) fn refuse(&mut self, key: StreamKey, error: &StreamError, scope: &Scope) -> Cascade {
        self.connection.refuse(key, error);
        scope.close(&Reason::Stream(error.clone()))
    }

    pub(super) fn attach(&mut self, key: StreamKey, stream: WeakStream) {
        self.slot(key).stream = Some(stream);
    }

    pub(super) fn streams(&mut self) -> Vec<(StreamSnapshot, Option<WeakStream>)> {
        let streams: Vec<_> = self.connection.streams().collect();
        streams.into_iter().map(|stream| (stream, self.slot(stream.key).stream.clone())).collect()
    }

    /// Releases the stream because its last handle was dropped. Returns its wakers, to be dropped without the
    /// lock.
    pub(super) fn release(&mut self, key: StreamKey, now: Instant) -> Option<Slot> {
        self.connection.release(key);
        if self.connection.held_streams() == 0 {
            self.idle_since = Some(now);
        }
        self.slots.get_mut(key.index()).map(mem::take)
    }

    /// Retires the connection: no new streams are opened.
    pub(super) fn retire(&mut self) {
        if self.retired == Retired::No {
            self.retired = Retired::Wanted;
        }
    }

    /// Server: refuses new streams. The connection is closed when it has none, unless it `is_kept`.
    pub(super) fn drain(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
        self.connection.drain();
    }

    /// As [`close`](Self::close), because the byte stream was lost.
    pub(super) fn lose(&mut self, error: &StreamError, now: Instant) -> Vec<Waker> {
        self.connection.mark_lost();
        self.close(error, now)
    }

    /// Ends every stream with `error`. Returns the wakers of writer, reader and tasks that wait for the
    /// close.
    pub(super) fn close(&mut self, error: &StreamError, now: Instant) -> Vec<Waker> {
        if self.unread {
            self.connection.mark_unread(now);
        }
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
        self.connection.closed().is_none() && self.retired == Retired::No && !self.ending
    }

    /// Returns the error that the connection was closed with, if nothing was received and it was not retired
    /// here.
    pub(super) fn lost_at_start(&self) -> Option<StreamError> {
        let lost = !self.received && self.retired == Retired::No;
        self.connection.closed().filter(|_| lost).cloned()
    }

    /// Parks the reader: it is woken when the events it waits for change.
    pub(super) fn park(&mut self, cx: &Context<'_>) -> Parked {
        self.reader = Some(cx.waker().clone());
        self.timer_at = self.connection.poll_timeout().into_iter().chain(self.idle_look).min();
        Parked {
            closed: self.connection.closed().is_some(),
            paused: self.connection.is_paused(),
            due: self.timer_at,
        }
    }

    /// Returns whether the idle timeout has passed. Checked when that is possible for the first time, so that
    /// a stream's end need not wake the reader.
    pub(super) fn check_idle(&mut self, idle: Duration, now: Instant) -> bool {
        if self.idle_look.is_none_or(|look| now < look) {
            return false;
        }
        let empty = self.connection.held_streams() == 0;
        let since = self.idle_since.filter(|_| empty).unwrap_or(now);
        self.idle_look = since.checked_add(idle).filter(|until| *until > now);
        self.idle_look.is_none()
    }

    /// Returns the actions of the last change.
    pub(super) fn collect(&mut self) -> Actions {
        let mut actions = Actions::default();
        let causes = self.connection.take_causes();
        if !causes.is_empty() {
            actions.rare().causes = causes;
        }
        if self.replaced.is_some() {
            actions.rare().replaced = self.replaced.take();
        }
        while let Some(event) = self.connection.poll_event() {
            self.act(event, &mut actions);
        }
        if self.connection.is_draining() && !self.is_kept {
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

    /// As [`collect`](Self::collect), after a read: the reader wakes the tasks, and then uncorks the writer
    /// with [`WriteScheduler::uncork`].
    pub(super) fn collect_read(&mut self) -> (Actions, ReadOutcome) {
        let mut actions = self.collect();
        let outcome = actions.take_read();
        if outcome.corked {
            self.scheduler.cork();
        }
        (actions, outcome)
    }

    /// Returns the next batch, or the rest of the last; `None` if nothing is queued, and then no task is the
    /// writer. `done` is the batch that the caller has completely written: its memory is reused.
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

    /// As [`next_batch`](Self::next_batch), for the task; also `None` if a sender is writing.
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

    /// Returns when to close a retired connection that is no longer used; once.
    fn close_if_retired(&mut self) -> Option<Close> {
        if self.retired != Retired::Wanted || self.connection.closed().is_some() {
            return None;
        }
        self.retired = Retired::Closing;
        Some(if self.connection.has_canceled() { Close::Later } else { Close::Now })
    }

    fn act(&mut self, event: Event, actions: &mut Actions) {
        match event {
            Event::Opened(key) => actions.rare().opened.push(key),
            Event::Readable(key) => actions.wake.extend(self.slot(key).recv.take()),
            Event::Writable(key) => {
                if let Some(waiting) = &mut self.slot(key).send {
                    actions.wake.extend(waiting.drain(..));
                }
            }
            Event::Openable => actions.wake.extend(self.openers.drain(..)),
            Event::Resumed => actions.wake.extend(self.reader.take()),
            Event::Canceled(key, error) => {
                let slot = self.slot(key);
                let reason = Reason::Stream(error.clone());
                let cascade = slot.scope.as_ref().map(|scope| scope.close(&reason));
                let stream = slot.held();
                actions.rare().cancel.push(CanceledHandler { cascade, stream, error });
            }
            Event::Reset(key, error) => {
                let stream = self.slot(key).held();
                actions.rare().reset.push((stream, error));
            }
        }
    }

    /// For models: returns whether nothing is stored for removed streams.
    #[cfg(all(test, loom))]
    pub(super) fn has_no_slots(&self) -> bool {
        let empty = |slot: &Slot| {
            slot.recv.is_none()
                && slot.send.as_ref().is_none_or(|waiting| waiting.is_empty())
                && slot.scope.is_none()
        };
        self.openers.is_empty() && self.closers.is_empty() && self.slots.iter().all(empty)
    }

    #[expect(clippy::indexing_slicing, reason = "the slot is created if it is missing")]
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
