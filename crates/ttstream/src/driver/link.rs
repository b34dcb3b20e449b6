//! A connection shared by handles, reader and writer: its state and its byte stream. Owns the lock, the rule
//! that nothing is called under it, and writes made by a sender itself.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Code, Error, StreamError};

use super::actions::{Actions, CanceledHandler, Close, Rare, ReadOutcome};
use super::config::SocketConfig;
use super::guard::CloseOnDrop;
use super::observed::{Listed, WeakStream};
use super::state::{Opened, State};
use stream_core::MemoryBudget;
use stream_core::clock;
use stream_core::guard::{guarded, report};
use stream_core::io::{Address, Io, Output, write_ready};
use stream_core::memory::{NO_MEMORY, Shed};
#[cfg(feature = "tokio")]
use stream_core::observe::{Inspect, StreamView};
use stream_core::rt::{Spawner, poll_proceed, sleep};

use crate::cancel::{Cascade, Label, Reason, Scope, Target};
#[cfg(feature = "tokio")]
use crate::proto::StreamSnapshot;
use crate::proto::{Connection, Finish, Method, Open, StreamKey, Transmit};
use crate::sync::Mutex;
use crate::{Message, Metadata};

mod ends;

/// One connection and its byte stream.
pub(crate) struct Link {
    state: Mutex<State>,
    io: Io,
    socket: SocketConfig,
    /// The idle timeout: the time that it may be without a stream.
    idle: Duration,
    /// A time for polls that do not depend on it.
    started: Instant,
    memory: MemoryBudget,
    spawner: Spawner,
    this: Weak<Self>,
    number: u64,
    /// A server's own service name, set once.
    server: OnceLock<Arc<str>>,
    _listed: Listed,
}

/// The time for which a connection stays open after a cancel: a Kitex server that reads the end of a
/// connection may drop an Rst just before it, and with it the cancel path. Also the time for which a
/// connection that cannot be written stays open to be read.
const LINGER: Duration = Duration::from_millis(250);

/// The number of batches that a sender writes before it leaves the rest to the task.
const MAX_SENDER_BATCHES: usize = 4;

impl Shed for Link {
    fn shed(&self, part: usize) -> usize {
        let own = self.lock_connection(Connection::own_bytes);
        self.update_connection(|connection| connection.shed(part)).unwrap_or_else(|| {
            self.give_up(&StreamError::new(Code::TRANSPORT_CLOSING).with_cause(NO_MEMORY));
            own
        })
    }
}

impl Link {
    /// Returns a connection whose reader and writer are not started. See [`start`](super::start).
    pub(super) fn new(
        mut connection: Connection,
        io: Io,
        socket: SocketConfig,
        idle: Duration,
        memory: MemoryBudget,
    ) -> Arc<Self> {
        let started = clock::now();
        Arc::new_cyclic(|this| {
            connection.count_in(&memory, Weak::<Self>::clone(this));
            Self {
                state: Mutex::new(State::new(connection, started, idle)),
                memory,
                io,
                socket,
                idle,
                started,
                spawner: Spawner::current(),
                this: this.clone(),
                number: Label::next_connection(),
                server: OnceLock::new(),
                _listed: Listed::new(Weak::<Self>::clone(this)),
            }
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

    pub(super) fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    pub(super) fn busy_poll(&self) -> Duration {
        self.socket.busy_poll
    }

    /// Returns the idle timeout of the connection.
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

    /// Reads from the connection under the lock: what causes no action.
    pub(crate) fn read_connection<R>(&self, read: impl FnOnce(&mut Connection) -> R) -> R {
        self.lock(|state| read(&mut state.connection))
    }

    /// Changes the connection under the lock, then runs the resulting actions.
    pub(crate) fn update_connection<R>(&self, change: impl FnOnce(&mut Connection) -> R) -> R {
        self.update(|state| change(&mut state.connection))
    }

    /// Calls `look` with the connection, under the lock.
    pub(crate) fn lock_connection<R>(&self, look: impl FnOnce(&Connection) -> R) -> R {
        self.lock(|state| look(&state.connection))
    }

    /// Changes the state under the lock, then runs the resulting actions.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, actions) = {
            let mut state = self.state.lock();
            let result = change(&mut state);
            (result, state.collect())
        };
        self.run(actions);
        result
    }

    /// As [`update`](Self::update), for a read: also returns the tasks that the reader has to wake.
    pub(super) fn update_read<R>(&self, read: impl FnOnce(&mut State) -> R) -> (R, ReadOutcome) {
        let (result, (actions, outcome)) = {
            let mut state = self.state.lock();
            let result = read(&mut state);
            (result, state.collect_read())
        };
        self.run(actions);
        (result, outcome)
    }

    /// Runs `f` under the lock, for changes that cause no actions.
    pub(super) fn lock<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock())
    }

    fn run(&self, actions: Actions) {
        let Actions { wake, flush, close, rare } = actions;
        wake.wake();
        if let Some(rare) = rare {
            let Rare { cancel, reset, causes, .. } = *rare;
            if !causes.is_empty()
                && let Err(text) = guarded(move || drop(causes))
            {
                report("the drop of a cause", &text);
            }
            cancel.into_iter().for_each(CanceledHandler::cancel);
            for (stream, error) in reset {
                if let Some(stream) = stream {
                    stream.record_cancel(error, clock::now());
                }
            }
        }
        if flush {
            self.flush();
        }
        match close {
            None => {}
            Some(Close::Now) => self.close(&StreamError::new(Code::TRANSPORT_CLOSING)),
            Some(Close::Later) => self.close_later(StreamError::new(Code::TRANSPORT_CLOSING)),
        }
    }

    /// Writes on the sender's task; bytes that the stream does not accept are left to the writer task.
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

    /// Called by the reader after it has woken all tasks: writes their responses, unless another task has
    /// done so.
    pub(super) fn uncork(&self) {
        if self.lock(|state| state.scheduler.uncork()) {
            self.flush();
        }
    }

    /// Closes the connection at once on a write timeout; otherwise lets the reader drain first, since a peer
    /// that has closed may have sent the ends of streams before. The writer's state stays as it is, so that
    /// nothing more is written.
    pub(super) fn write_failed(&self, error: &io::Error) {
        let lost = StreamError::new(Code::TRANSPORT_CLOSING).with_cause(format!("connection lost: {error}"));
        self.lock(|state| state.unread |= is_reset(error));
        match error.kind() {
            io::ErrorKind::TimedOut => self.lose(&lost),
            _ => self.close_later(lost),
        }
    }

    fn close_later(&self, error: StreamError) {
        let Some(link) = self.this.upgrade() else { return };
        let closing = CloseOnDrop::lost(link, error);
        // If the runtime is shut down meanwhile, the task is dropped, which closes the connection at once.
        self.spawner.spawn(async move {
            sleep(LINGER).await;
            drop(closing);
        });
    }

    /// Returns the method `name` of `service`, with the cached parts of its frames.
    pub(crate) fn prepare_method(&self, service: &[u8], name: &[u8]) -> Result<Arc<Method>, StreamError> {
        self.lock(|state| state.connection.prepare_method(service, name))
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
            self.memory.relieve();
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

    /// Stores a reference to the stream's info, for views of open streams and records of cancels.
    pub(crate) fn attach(&self, key: StreamKey, stream: WeakStream) {
        self.lock(|state| state.attach(key, stream));
    }

    /// Returns the label that identifies the stream in this process.
    pub(crate) fn label(&self, key: StreamKey) -> Label {
        Label { connection: self.number, stream: key.id().get() }
    }

    /// Returns the stream's method; `None` if the stream was released.
    pub(crate) fn method(&self, key: StreamKey) -> Option<Arc<Method>> {
        self.lock(|state| state.connection.method(key).cloned())
    }

    /// Sets the name of the service whose handlers serve the connection's streams.
    pub(crate) fn set_server(&self, name: &Arc<str>) {
        // Set once: when the server begins with the connection.
        let _ = self.server.set(name.clone());
    }

    /// Returns the name of the service that this end of a stream belongs to; empty if it has none.
    pub(crate) fn own_service(&self, key: StreamKey) -> Arc<str> {
        let callers = || self.lock(|state| state.connection.caller(key).cloned());
        self.server.get().cloned().or_else(callers).unwrap_or_default()
    }

    /// Returns the head of the stream; from now on `scope`, which belongs to the handler, ends with the
    /// stream.
    pub(crate) fn begin(&self, key: StreamKey, scope: &Scope) -> Option<Opened> {
        let (opened, ended) = self.lock(|state| state.begin(key, scope))?;
        if let Some(error) = ended {
            scope.cancel(&Reason::Stream(error));
        }
        Some(opened)
    }

    /// Ends the stream because its handler, which had `scope`, has returned.
    pub(crate) fn finish(&self, key: StreamKey, finish: &Finish, scope: &Scope) {
        self.update(|state| state.finish(key, finish, scope)).run();
    }

    /// Releases the stream because its last handle was dropped.
    pub(crate) fn release(&self, key: StreamKey) {
        let now = clock::now();
        drop(self.update(|state| state.release(key, now)));
    }

    /// Refuses a stream that has no handles, since no handler may be started.
    pub(crate) fn refuse(&self, key: StreamKey, error: &StreamError) {
        let now = clock::now();
        drop(self.update(|state| {
            state.connection.refuse(key, error);
            state.release(key, now)
        }));
    }

    /// Refuses a stream that has waited for a handler, which was to have `scope`.
    pub(crate) fn refuse_begun(&self, key: StreamKey, error: &StreamError, scope: &Scope) {
        self.update(|state| state.refuse(key, error, scope)).run();
    }

    /// Returns whether new streams may be opened.
    pub(crate) fn is_open(&self) -> bool {
        self.lock(|state| state.is_open())
    }

    /// Whether the server takes no more streams on it for now.
    pub(crate) fn is_full(&self) -> bool {
        let now = clock::now();
        self.lock(|state| state.connection.is_full(now))
    }

    /// Returns the error that the connection was lost with, if that was before anything was received and was
    /// not a close by this side.
    pub(crate) fn lost_at_start(&self) -> Option<StreamError> {
        self.lock(|state| state.lost_at_start())
    }

    /// Returns whether an exclusive stream has left the connection reusable.
    pub(crate) fn is_clean(&self) -> bool {
        self.lock(|state| state.connection.is_clean())
    }

    pub(crate) fn live_streams(&self) -> usize {
        self.lock(|state| state.connection.live_streams())
    }
}

/// Returns whether the error says that the peer has not read all that was sent.
pub(crate) fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

impl CanceledHandler {
    /// Cancels everything below the handler's scope, which is already closed.
    fn cancel(self) {
        let received = clock::now();
        self.cascade.into_iter().for_each(Cascade::run);
        if let Some(stream) = self.stream {
            stream.record_cancel(self.error, received);
        }
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
