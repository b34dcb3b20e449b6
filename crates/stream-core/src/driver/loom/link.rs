//! A connection without a socket: what is written goes to a buffer, what arrives comes from a peer's
//! machine. As [`Link`](super::super::Link), it changes the state under its lock and acts without it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex as SystemMutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kerrors::{Code, Error, Side, StreamError};
use loom::thread::{JoinHandle, spawn};

use super::super::state::{Actions, News, State};
use crate::Metadata;
use crate::cancel::{Cascade, Reason, Scope, Target};
use crate::models::Count;
use crate::proto::{Config, Connection, Event, Finish, Method, Open, Payload, StreamKey, Transmit};
use crate::sync::Mutex;

pub(super) struct Link {
    state: Mutex<State>,
    started: Instant,
    /// The socket takes what the task writes, and nothing from a sender.
    narrow: bool,
    /// What the socket has taken.
    wire: SystemMutex<BytesMut>,
    /// Somebody writes.
    writing: AtomicBool,
    /// The socket takes nothing any more.
    shut: AtomicBool,
    /// Wakes of the writer task, and how many it has followed.
    task: Arc<Count>,
    followed: AtomicUsize,
    /// How often it was to be closed because nothing needs it.
    pub(super) closes: Count,
}

impl Link {
    pub(super) fn new(side: Side, config: Config, narrow: bool) -> Arc<Self> {
        let started = Instant::now();
        let state = Mutex::new(State::new(side, config, started, Duration::MAX));
        let (writing, shut) = (AtomicBool::new(false), AtomicBool::new(false));
        let (wire, closes) = (SystemMutex::default(), Count::default());
        let (task, followed) = (Count::new(), AtomicUsize::new(0));
        let link = Self { state, started, narrow, wire, writing, shut, task, followed, closes };
        link.poll_task();
        Arc::new(link)
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

    fn run(&self, actions: Actions) {
        for waker in actions.wake {
            waker.wake();
        }
        actions.cancel.into_iter().filter_map(|canceled| canceled.cascade).for_each(Cascade::run);
        if actions.flush {
            self.flush();
        }
        if actions.close.is_some() {
            self.closes.add();
            self.close(&StreamError::new(Code::TRANSPORT_CLOSING));
        }
    }

    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Connection) -> R) -> R {
        self.locked(|state| change(&mut state.connection))
    }

    pub(super) fn peek<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock())
    }

    pub(super) fn close(&self, error: &StreamError) {
        let wakers = self.locked(|state| state.close(error));
        wakers.into_iter().flatten().for_each(std::task::Waker::wake);
        self.shut.store(true, Relaxed);
    }

    fn flush(&self) {
        while let Some(batch) = self.locked(State::next_batch) {
            if self.narrow {
                let task = self.peek(|state| state.hand_to_task(batch));
                return task.into_iter().for_each(std::task::Waker::wake);
            }
            self.take(batch);
        }
    }

    /// The writer task runs: as long as it has the turn, then it waits.
    pub(super) fn poll_task(&self) {
        self.followed.store(self.task.get(), Relaxed);
        let waker = self.task.waker();
        while self.peek(|state| state.poll_turn(&Context::from_waker(&waker))).map(|turn| turn.is_some())
            == Poll::Ready(true)
        {
            if let Some(batch) = self.locked(State::begin_batch) {
                self.take(batch);
            }
        }
    }

    /// The writer task runs if it was woken, and not if it was not.
    pub(super) fn settle(&self) {
        while self.task.get() > self.followed.load(Relaxed) {
            self.poll_task();
        }
    }

    fn take(&self, mut batch: Transmit) {
        assert!(!self.writing.swap(true, Relaxed), "two write at once");
        // A write takes its time: others may do something meanwhile.
        self.peek(|_| ());
        if !self.shut.load(Relaxed) {
            append(&mut self.wire.lock().unwrap(), &mut batch);
        }
        self.writing.store(false, Relaxed);
        self.peek(|state| state.writer.give_back(Transmit::default()));
    }

    pub(super) fn poll_open(&self, count: &Arc<Count>) -> Poll<Result<StreamKey, StreamError>> {
        self.poll_open_until(count, None)
    }

    pub(super) fn poll_open_until(
        &self,
        count: &Arc<Count>,
        deadline: Option<Instant>,
    ) -> Poll<Result<StreamKey, StreamError>> {
        let (waker, metadata) = (count.waker(), Metadata::new());
        let (method, service) = (Arc::new(Method::new("M").unwrap()), Arc::from("ServiceA"));
        let open = Open {
            method: &method,
            metadata: &metadata,
            service: &service,
            deadline,
            wire_deadline: None,
            recv_timeout: None,
        };
        self.locked(|state| state.poll_open(&Context::from_waker(&waker), &open, self.started))
    }

    pub(super) fn open(&self) -> StreamKey {
        match self.poll_open(&Count::new()) {
            Poll::Ready(Ok(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn poll_send(&self, count: &Arc<Count>, key: StreamKey) -> Poll<Result<(), Error>> {
        self.poll_send_of(count, key, MESSAGE)
    }

    pub(super) fn poll_send_of(
        &self,
        count: &Arc<Count>,
        key: StreamKey,
        message: &[u8],
    ) -> Poll<Result<(), Error>> {
        let (waker, payload) = (count.waker(), Payload::Borrowed(message));
        self.locked(|state| state.poll_send(&Context::from_waker(&waker), key, &payload))
    }

    pub(super) fn poll_recv(&self, count: &Arc<Count>, key: StreamKey) -> Poll<Result<Option<Bytes>, Error>> {
        let (waker, now) = (count.waker(), self.started);
        let recv = |connection: &mut Connection| connection.recv(key, now);
        self.locked(|state| state.poll_recv(&Context::from_waker(&waker), key, recv))
    }

    pub(super) fn release(&self, key: StreamKey) {
        drop(self.locked(|state| state.release(key)));
    }

    /// The handler that had `scope` has returned.
    pub(super) fn finish(&self, key: StreamKey, scope: &Scope) {
        self.locked(|state| state.finish(key, &Finish::default(), scope)).run();
    }

    /// A handler's scope begins, as it does on the task that runs the handler.
    pub(super) fn begin(&self, key: StreamKey, scope: &Scope) {
        if let Some((_, Some(error))) = self.peek(|state| state.begin(key, scope)) {
            scope.cancel(&Reason::Stream(error));
        }
    }

    /// Reads what of `bytes` it may, and tells everyone. Gives the streams that were opened.
    pub(super) fn read(&self, bytes: &mut BytesMut) -> Vec<StreamKey> {
        let (opened, several) = self.tell(bytes);
        self.let_go(several);
        opened
    }

    /// The same, and keeps the turn to write if it concerns several.
    pub(super) fn tell(&self, bytes: &mut BytesMut) -> (Vec<StreamKey>, bool) {
        let (actions, News { wake, opened, several }) = {
            let mut state = self.state.lock();
            state.connection.handle_read(bytes, self.started).unwrap();
            let streams = state.connection.live_streams();
            state.writer.heard(streams);
            state.collect_read()
        };
        self.run(actions);
        wake.into_iter().for_each(std::task::Waker::wake);
        (opened, several)
    }

    pub(super) fn let_go(&self, several: bool) {
        if several && self.peek(|state| state.writer.let_go()) {
            self.flush();
        }
    }

    /// Reads `bytes` on a thread of its own.
    pub(super) fn reading(self: &Arc<Self>, bytes: BytesMut) -> JoinHandle<()> {
        self.doing(move |link| {
            let mut bytes = bytes;
            link.read(&mut bytes);
        })
    }

    pub(super) fn doing<R: 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> R + 'static,
    ) -> JoinHandle<R> {
        let link = self.clone();
        spawn(move || work(&link))
    }

    /// What was written and nobody has read.
    pub(super) fn written(&self) -> BytesMut {
        self.settle();
        self.wire.lock().unwrap().split()
    }

    /// The machine at the other end, which has read all that was written so far.
    pub(super) fn peer(&self, side: Side) -> Peer {
        let mut peer = Peer(Connection::new(side, Config::default()));
        peer.read(self);
        peer
    }

    pub(super) fn check_empty(&self) {
        self.settle();
        self.peek(|state| {
            let connection = &state.connection;
            assert_eq!((connection.held_streams(), connection.received_bytes()), (0, 0));
            assert!(!connection.has_transmit(), "something is left unwritten");
            assert!(state.nobody_waits(), "a slot is left");
        });
    }
}

impl Target for Link {
    fn cancel(&self, token: u64, reason: &Reason) {
        let key = StreamKey::from_token(token).unwrap();
        self.with(|connection| connection.cancel(key, reason));
    }
}

/// The other end, under no lock: only what it has written counts.
pub(super) struct Peer(pub(super) Connection);

impl Peer {
    pub(super) fn read(&mut self, link: &Link) {
        link.settle();
        let mut wire = link.wire.lock().unwrap();
        self.0.handle_read(&mut wire, link.started).unwrap();
        assert!(wire.is_empty(), "a frame is cut");
    }

    /// Server: the streams that were opened so far.
    pub(super) fn opened(&mut self) -> Vec<StreamKey> {
        let events = std::iter::from_fn(|| self.0.poll_event());
        events.filter_map(|event| if let Event::Opened(key) = event { Some(key) } else { None }).collect()
    }

    /// What it has to write.
    pub(super) fn writes(&mut self) -> BytesMut {
        let (mut bytes, mut batch) = (BytesMut::new(), Transmit::default());
        while self.0.poll_transmit(&mut batch) {
            append(&mut bytes, &mut batch);
        }
        bytes
    }

    pub(super) fn send(&mut self, key: StreamKey, messages: usize) {
        for _ in 0..messages {
            assert!(self.0.send(key, &Payload::Borrowed(MESSAGE)).unwrap());
        }
    }

    /// How many messages are there to be taken.
    pub(super) fn messages(&mut self, key: StreamKey) -> usize {
        let now = Instant::now();
        let recv = || matches!(self.0.recv(key, now), Poll::Ready(Ok(Some(_))));
        std::iter::repeat_with(recv).take_while(|taken| *taken).count()
    }
}

fn append(bytes: &mut BytesMut, batch: &mut Transmit) {
    while !batch.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let filled = batch.fill(&mut slices);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        batch.advance(bytes.len() - before);
    }
}

const MESSAGE: &[u8] = b"message";
