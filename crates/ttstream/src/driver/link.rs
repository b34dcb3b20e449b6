//! A connection that handles, reader and writer share: its state and its byte stream. Owns the lock, the rule
//! that nothing is called under it, and the write that a sender does itself.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Code, Error, StreamError};

use super::config::SocketConfig;
use super::guard::CloseOnDrop;
use super::observed::{Listed, WeakStream, record};
use super::state::{Actions, CanceledHandler, Close, Opened, ReadOutcome, State};
use stream_core::clock;
use stream_core::io::{Address, Io, Output, write_ready};
#[cfg(feature = "tokio")]
use stream_core::observe::{Inspect, StreamView};
use stream_core::rt::{Spawner, log, poll_proceed, sleep};

use crate::cancel::{Cascade, Label, Reason, Scope, Target};
#[cfg(feature = "tokio")]
use crate::proto::StreamSnapshot;
use crate::proto::{Connection, Finish, Method, Open, StreamKey, Transmit};
use crate::sync::Mutex;
use crate::{Message, Metadata};

/// One connection and its byte stream.
pub(crate) struct Link {
    state: Mutex<State>,
    io: Io,
    socket: SocketConfig,
    /// How long it may be without a stream.
    idle: Duration,
    /// The time for those who need none.
    started: Instant,
    spawner: Spawner,
    this: Weak<Self>,
    number: u64,
    _listed: Listed,
}

/// How long a connection stays open on which a stream was canceled: a Kitex server that meets the end of
/// a connection may pass over an Rst that came just before, and with it over who canceled. And how long
/// one that cannot be written stays open to be read.
const LINGER: Duration = Duration::from_millis(250);

/// Batches that a sender writes in a row before it leaves the rest to the task.
const MAX_SENDER_BATCHES: usize = 4;

impl Link {
    /// Returns a connection whose reader and writer have not begun. See [`start`](super::start).
    pub(super) fn new(connection: Connection, io: Io, socket: SocketConfig, idle: Duration) -> Arc<Self> {
        let started = clock::now();
        let state = State::new(connection, started, idle);
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            io,
            socket,
            idle,
            started,
            spawner: Spawner::current(),
            this: this.clone(),
            number: Label::next_connection(),
            _listed: Listed::new(Weak::<Self>::clone(this)),
        })
    }

    pub(super) fn io(&self) -> &Io {
        &self.io
    }

    pub(super) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    pub(super) fn write_timeout(&self) -> Duration {
        self.socket.write_timeout
    }

    pub(super) fn busy_poll(&self) -> Duration {
        self.socket.busy_poll
    }

    /// Returns how long the connection may be without a stream.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle
    }

    /// Returns the address of this end.
    pub(crate) fn local(&self) -> &Address {
        self.io.local_addr()
    }

    /// Returns the address of the other end.
    pub(crate) fn peer(&self) -> &Address {
        self.io.peer_addr()
    }

    /// Changes the connection under the lock, then does what that asks for.
    pub(crate) fn update_connection<R>(&self, change: impl FnOnce(&mut Connection) -> R) -> R {
        self.update(|state| change(&mut state.connection))
    }

    /// Changes the state under the lock, then does what that asks for.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, actions) = {
            let mut state = self.state.lock();
            let result = change(&mut state);
            (result, state.collect())
        };
        self.run(actions);
        result
    }

    /// As [`update`](Self::update), for a read: returns whom it concerns, to be woken by the reader.
    pub(super) fn update_read<R>(&self, read: impl FnOnce(&mut State) -> R) -> (R, ReadOutcome) {
        let (result, (actions, outcome)) = {
            let mut state = self.state.lock();
            let result = read(&mut state);
            (result, state.collect_read())
        };
        self.run(actions);
        (result, outcome)
    }

    /// Runs `f` under the lock, and nothing after it: for what asks for no action.
    pub(super) fn lock<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock())
    }

    fn run(&self, actions: Actions) {
        actions.wake.into_iter().for_each(Waker::wake);
        actions.cancel.into_iter().for_each(CanceledHandler::cancel);
        for (stream, error) in actions.reset {
            record(stream.as_ref(), error, Duration::ZERO);
        }
        if actions.flush {
            self.flush();
        }
        match actions.close {
            None => {}
            Some(Close::Now) => self.close(&StreamError::new(Code::TRANSPORT_CLOSING)),
            Some(Close::Later) => self.close_later(StreamError::new(Code::TRANSPORT_CLOSING)),
        }
    }

    /// Writes as the sender; what the stream does not accept is left to the task.
    fn flush(&self) {
        let mut done = None;
        for _ in 0..MAX_SENDER_BATCHES {
            let batch = self.update(|state| state.next_batch(done.take()));
            let Some(mut batch) = batch else { return };
            match write_ready(&self.io, &mut batch) {
                Ok(()) if batch.is_empty() => done = Some(batch),
                Ok(()) => return self.leave_to_task(batch),
                Err(error) => return self.write_failed(&error),
            }
        }
        self.leave_to_task(done.unwrap_or_default());
    }

    fn leave_to_task(&self, batch: Transmit) {
        let task = self.lock(|state| state.scheduler.hand_to_task(batch));
        task.into_iter().for_each(Waker::wake);
    }

    /// The reader has woken everyone: writes what they have answered, if nobody else has done so.
    pub(super) fn uncork(&self) {
        if self.lock(|state| state.scheduler.uncork()) {
            self.flush();
        }
    }

    /// Closes the connection at once if the peer accepted nothing for too long. If it is gone, it may have
    /// left the end of streams behind that is not read yet: the reader comes to the end of the connection by
    /// itself, and soon. The writer's state stays as it is, so that nothing more is written.
    pub(super) fn write_failed(&self, error: &io::Error) {
        let lost = StreamError::new(Code::TRANSPORT_CLOSING).with_cause(format!("connection lost: {error}"));
        match error.kind() {
            io::ErrorKind::TimedOut => self.close(&lost),
            _ => self.close_later(lost),
        }
    }

    fn close_later(&self, error: StreamError) {
        let Some(link) = self.this.upgrade() else { return };
        let closing = CloseOnDrop::lost(link, error);
        // If the runtime is shut down meanwhile, the task is dropped, and the connection is closed at once.
        self.spawner.spawn(async move {
            sleep(LINGER).await;
            drop(closing);
        });
    }

    /// Returns the method of this name, with what its frames share.
    pub(crate) fn prepare_method(&self, name: &str) -> Result<Arc<Method>, StreamError> {
        self.lock(|state| state.connection.prepare_method(name.as_bytes()))
    }

    pub(crate) fn poll_open(
        &self,
        cx: &mut Context<'_>,
        open: &Open<'_>,
    ) -> Poll<Result<StreamKey, StreamError>> {
        let now = clock::now();
        self.update(|state| state.poll_open(cx, open, now))
    }

    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        key: StreamKey,
        message: &Message<'_>,
    ) -> Poll<Result<(), Error>> {
        let budget = ready!(poll_proceed(cx));
        let result = self.update(|state| state.poll_send(cx, key, message));
        if result.is_ready() {
            budget.made_progress();
        }
        result
    }

    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        key: StreamKey,
        now: Option<Instant>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        self.poll_slot(cx, key, |connection| connection.recv(key, now.unwrap_or(self.started)))
    }

    pub(crate) fn poll_header(&self, cx: &mut Context<'_>, key: StreamKey) -> Poll<Result<Metadata, Error>> {
        self.poll_slot(cx, key, |connection| connection.header(key))
    }

    fn poll_slot<R>(
        &self,
        cx: &mut Context<'_>,
        key: StreamKey,
        poll: impl FnOnce(&mut Connection) -> Poll<R>,
    ) -> Poll<R> {
        let budget = ready!(poll_proceed(cx));
        let result = self.update(|state| state.poll_recv(cx, key, poll));
        if result.is_ready() {
            budget.made_progress();
        }
        result
    }

    /// Keeps how to find the stream's info, for views of open streams and records of cancels.
    pub(crate) fn attach(&self, key: StreamKey, stream: WeakStream) {
        self.lock(|state| state.attach(key, stream));
    }

    /// The stream's name in this process.
    pub(crate) fn label(&self, key: StreamKey) -> Label {
        Label { connection: self.number, stream: key.id().get() }
    }

    /// The name of the stream's method; empty if nobody holds it any more.
    pub(crate) fn method(&self, key: StreamKey) -> Bytes {
        self.lock(|state| state.connection.method(key).map(|method| method.name().clone()))
            .unwrap_or_default()
    }

    /// What the peer opened the stream with; from now on `scope`, its handler's, ends when it does.
    pub(crate) fn begin(&self, key: StreamKey, scope: &Scope) -> Option<Opened> {
        let (opened, ended) = self.lock(|state| state.begin(key, scope))?;
        if let Some(error) = ended {
            scope.cancel(&Reason::Stream(error));
        }
        Some(opened)
    }

    /// Its handler, which had `scope`, has returned.
    pub(crate) fn finish(&self, key: StreamKey, finish: &Finish, scope: &Scope) {
        self.update(|state| state.finish(key, finish, scope)).run();
    }

    /// No handle of the stream is left.
    pub(crate) fn release(&self, key: StreamKey) {
        let now = clock::now();
        drop(self.update(|state| state.release(key, now)));
    }

    /// Takes no new stream any more, and closes the connection when none is left and all is written.
    pub(crate) fn retire(&self) {
        self.update(State::retire);
    }

    /// Begins nothing new, and closes the connection when nothing is left.
    pub(crate) fn drain(&self) {
        self.update_connection(Connection::drain);
    }

    /// Ends every stream that still runs, here and at the peer, with 12013.
    pub(crate) fn end_all(&self, service: &str) {
        self.update_connection(|connection| connection.end_all(service));
    }

    /// Ends every stream with `error`, and the connection.
    pub(crate) fn close(&self, error: &StreamError) {
        let wakers = self.update(|state| state.close(error));
        wakers.into_iter().for_each(Waker::wake);
        if let Err(error) = self.io.shutdown() {
            log(self.io.peer_addr(), &error, "connection was closed already");
        }
    }

    /// Waits until the connection is closed.
    pub(crate) async fn closed(&self) {
        poll_fn(|cx| self.lock(|state| state.poll_closed(cx))).await;
    }

    /// Whether new streams may be opened on it.
    pub(crate) fn is_open(&self) -> bool {
        self.lock(|state| state.is_open())
    }

    /// Returns what the connection was lost with, if that was before anything came from the peer and nobody here
    /// has asked for it.
    pub(crate) fn lost_at_start(&self) -> Option<StreamError> {
        self.lock(|state| state.lost_at_start())
    }

    /// Whether a stream that had the connection to itself has left it as good as new.
    pub(crate) fn is_clean(&self) -> bool {
        self.lock(|state| state.connection.is_clean())
    }

    pub(crate) fn live_streams(&self) -> usize {
        self.lock(|state| state.connection.live_streams())
    }
}

impl CanceledHandler {
    /// Cancels all that is below the handler's scope, which is closed.
    fn cancel(self) {
        let started = clock::now();
        self.cascade.into_iter().for_each(Cascade::run);
        record(self.stream.as_ref(), self.error, clock::now().saturating_duration_since(started));
    }
}

impl Output for Transmit {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        Transmit::fill(self, slices)
    }

    fn advance(&mut self, written: usize) {
        Transmit::advance(self, written);
    }
}

#[cfg(feature = "tokio")]
impl Inspect for Link {
    fn views(&self) -> Vec<StreamView> {
        let streams = self.lock(State::streams);
        let view = |(stream, handles): (StreamSnapshot, Option<WeakStream>)| {
            let StreamSnapshot { phase, sent, received, .. } = stream;
            Some(StreamView { info: handles?.info()?, phase, sent, received })
        };
        streams.into_iter().filter_map(view).collect()
    }
}

impl Target for Link {
    fn cancel(&self, token: u64, reason: &Reason) {
        if let Some(key) = StreamKey::from_token(token) {
            self.update_connection(|connection| connection.cancel(key, reason));
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", self.io.peer_addr()).finish_non_exhaustive()
    }
}
