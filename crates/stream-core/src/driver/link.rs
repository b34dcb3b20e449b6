//! A connection that handles, reader and writer share: its state and its socket. Owns the lock and the
//! rule that nothing is called under it.

use std::fmt;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use kerrors::{Code, Error, Side, StreamError};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::coop::poll_proceed;
use tracing::debug;

use super::state::{Actions, Canceled, Close, News, Opened, State};
use crate::Metadata;
use crate::cancel::{Cascade, Label, Reason, Scope, Target};
use crate::observe::{CancelView, Listed, StreamView, record_cancel};
use crate::proto::{Config, Connection, Finish, Open, Payload, StreamKey, StreamSnapshot};
use crate::stream::Shared;
use crate::sync::Mutex;

/// One connection and its socket.
pub(crate) struct Link {
    state: Mutex<State>,
    pub(super) socket: OwnedWriteHalf,
    local: SocketAddr,
    peer: SocketAddr,
    pub(super) write_stall: Duration,
    pub(super) busy_poll: Duration,
    /// How long it may be without a stream.
    pub(super) idle: Duration,
    /// The time for those who need none.
    started: Instant,
    runtime: Handle,
    this: Weak<Self>,
    number: u64,
    closed: Notify,
    _listed: Listed,
}

static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

/// How long a connection stays open on which a stream was canceled: a Kitex server that meets the end of
/// a connection may pass over an Rst that came just before, and with it over who canceled. And how long
/// one that cannot be written stays open to be read.
const LINGER: Duration = Duration::from_millis(250);

impl Link {
    /// A connection that is closed when it has been without a stream for `idle`, and what is read from.
    pub(crate) fn new(
        side: Side,
        socket: TcpStream,
        peer: SocketAddr,
        config: Config,
        idle: Duration,
    ) -> (Arc<Self>, OwnedReadHalf) {
        let local = socket.local_addr().unwrap_or(peer);
        let (reading, socket) = socket.into_split();
        let (write_stall, busy_poll, started) = (config.write_timeout, config.busy_poll, Instant::now());
        let state = State::new(side, config, started, idle);
        let link = Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            local,
            socket,
            peer,
            write_stall,
            busy_poll,
            idle,
            started,
            runtime: Handle::current(),
            this: this.clone(),
            number: LAST_NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            closed: Notify::new(),
            _listed: Listed::new(this.clone()),
        });
        tokio::spawn(super::write::write_loop(link.clone()));
        (link, reading)
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Changes the connection, then does what that asks for.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Connection) -> R) -> R {
        self.locked(|state| change(&mut state.connection))
    }

    pub(super) fn locked<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, actions) = {
            let mut state = self.state.lock();
            let result = change(&mut state);
            (result, state.collect())
        };
        self.run(actions);
        result
    }

    /// As [`locked`](Self::locked), for a read: gives whom it concerns, to be told by the reader.
    pub(super) fn read<R>(&self, read: impl FnOnce(&mut State) -> R) -> (R, News) {
        let (result, (actions, news)) = {
            let mut state = self.state.lock();
            let result = read(&mut state);
            (result, state.collect_read())
        };
        self.run(actions);
        (result, news)
    }

    /// Under the lock, without looking for what is to be done: for the reader's and writer's own state.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock())
    }

    fn run(&self, actions: Actions) {
        actions.wake.into_iter().for_each(Waker::wake);
        actions.cancel.into_iter().for_each(Canceled::tell);
        for (shared, error) in actions.reset {
            record(&shared, error, Duration::ZERO);
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

    pub(super) fn close_later(&self, error: StreamError) {
        let Some(link) = self.this.upgrade() else { return };
        self.runtime.spawn(async move {
            tokio::time::sleep(LINGER).await;
            link.close(&error);
        });
    }

    pub(crate) fn poll_open(
        &self,
        cx: &mut Context<'_>,
        open: &Open<'_>,
    ) -> Poll<Result<StreamKey, StreamError>> {
        let now = Instant::now();
        self.locked(|state| state.poll_open(cx, open, now))
    }

    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        key: StreamKey,
        payload: &Payload<'_>,
    ) -> Poll<Result<(), Error>> {
        let budget = ready!(poll_proceed(cx));
        let result = self.locked(|state| state.poll_send(cx, key, payload));
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
        let result = self.locked(|state| state.poll_recv(cx, key, poll));
        if result.is_ready() {
            budget.made_progress();
        }
        result
    }

    /// The handles of the stream, for those who look at it.
    pub(crate) fn set_shared(&self, key: StreamKey, shared: &Arc<Shared>) {
        self.peek(|state| state.set_shared(key, shared));
    }

    /// Every open stream of the connection.
    pub(crate) fn views(&self) -> Vec<StreamView> {
        let streams = self.peek(State::streams);
        let view = |(stream, shared): (StreamSnapshot, Weak<Shared>)| {
            let StreamSnapshot { phase, sent, received, .. } = stream;
            Some(StreamView { info: shared.upgrade()?.info().clone(), state: phase.as_str(), sent, received })
        };
        streams.into_iter().filter_map(view).collect()
    }

    /// The stream's name in this process.
    pub(crate) fn label(&self, key: StreamKey) -> Label {
        Label { connection: self.number, stream: key.id().get() }
    }

    /// The name of the stream's method; empty if nobody holds it any more.
    pub(crate) fn method(&self, key: StreamKey) -> Bytes {
        self.peek(|state| state.connection.method(key).map(|method| method.name().clone()))
            .unwrap_or_default()
    }

    /// What the peer opened the stream with; from now on `scope`, its handler's, ends when it does.
    pub(crate) fn begin(&self, key: StreamKey, scope: &Scope) -> Option<Opened> {
        let (opened, ended) = self.peek(|state| state.begin(key, scope))?;
        if let Some(error) = ended {
            scope.cancel(&Reason::Stream(error));
        }
        Some(opened)
    }

    /// Its handler, which had `scope`, has returned.
    pub(crate) fn finish(&self, key: StreamKey, finish: &Finish, scope: &Scope) {
        self.locked(|state| state.finish(key, finish, scope)).run();
    }

    /// No handle of the stream is left.
    pub(crate) fn release(&self, key: StreamKey) {
        drop(self.locked(|state| state.release(key)));
    }

    /// Takes no new stream any more, and closes the connection when none is left and all is written.
    pub(crate) fn retire(&self) {
        self.locked(State::retire);
    }

    /// Begins nothing new, and closes the connection when nothing is left.
    pub(crate) fn drain(&self) {
        self.with(Connection::drain);
    }

    /// Ends every stream that still runs, here and at the peer, with 12013.
    pub(crate) fn end_all(&self, service: &str) {
        self.with(|connection| connection.end_all(service));
    }

    /// Ends every stream with `error`, and the connection.
    pub(crate) fn close(&self, error: &StreamError) {
        let wakers = self.locked(|state| state.close(error));
        wakers.into_iter().flatten().for_each(Waker::wake);
        self.closed.notify_waiters();
        if let Err(error) = SockRef::from(self.socket.as_ref()).shutdown(Shutdown::Both) {
            debug!(peer = %self.peer, %error, "connection was closed already");
        }
    }

    /// Waits until the connection is closed.
    pub(crate) async fn closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.peek(|state| state.connection.closed().is_some()) {
                return;
            }
            closed.await;
        }
    }

    /// Whether new streams may be opened on it.
    pub(crate) fn is_open(&self) -> bool {
        self.peek(|state| state.is_open())
    }

    /// Whether a stream that had the connection to itself has left it as good as new.
    pub(crate) fn is_clean(&self) -> bool {
        self.peek(|state| state.connection.is_clean())
    }

    pub(crate) fn live_streams(&self) -> usize {
        self.peek(|state| state.connection.live_streams())
    }
}

impl Canceled {
    fn tell(self) {
        let started = Instant::now();
        self.cascade.into_iter().for_each(Cascade::run);
        record(&self.shared, self.error, started.elapsed());
    }
}

fn record(shared: &Weak<Shared>, error: StreamError, took: Duration) {
    if let Some(shared) = shared.upgrade() {
        let stream = shared.info().clone();
        record_cancel(CancelView { at: SystemTime::now(), stream, error, took });
    }
}

impl Target for Link {
    fn cancel(&self, token: u64, reason: &Reason) {
        if let Some(key) = StreamKey::from_token(token) {
            self.with(|connection| connection.cancel(key, reason));
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).finish_non_exhaustive()
    }
}
