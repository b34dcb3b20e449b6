//! A connection driven by a model: the production [`Link`], its writer task and its reader, polled by hand,
//! on a byte stream whose other end is the model.

use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex as SystemMutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kerrors::{Error, Side, StreamError};
use loom::thread::{JoinHandle, spawn};
use stream_core::MemoryBudget;

use super::super::read::{Reader, Wake};
use super::super::{Link, SocketConfig, start};
use crate::cancel::Scope;
use crate::io::{Io, Output, model::Wire};
use crate::models::Count;
use crate::proto::{Config, Connection, Event, Finish, Method, Open, StreamKey, Transmit};
use crate::rt::Task;
use crate::{Message, Metadata, clock};

/// A connection. Its fields beside the link are behind locks of the system, which loom does not order; a
/// model uses the writer task, and the reader, from one thread at a time.
pub(super) struct Model {
    pub(super) link: Arc<Link>,
    wire: Arc<Wire>,
    writer: SystemMutex<Option<Task>>,
    /// Wakes of the writer task, and how many of them were followed by a poll.
    woken: Arc<Count>,
    followed: AtomicUsize,
    reader: SystemMutex<Reader>,
}

impl Deref for Model {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Model {
    /// Returns a connection whose socket accepts everything.
    pub(super) fn new(side: Side, config: Config) -> Arc<Self> {
        Self::with_wire(side, config, Wire::default())
    }

    /// Returns a connection whose socket accepts writes of the task, and nothing from a sender.
    pub(super) fn narrow(side: Side, config: Config) -> Arc<Self> {
        Self::with_wire(side, config, Wire::narrow())
    }

    fn with_wire(side: Side, config: Config, wire: Wire) -> Arc<Self> {
        let wire = Arc::new(wire);
        let (io, memory) = (Io::model(&wire), MemoryBudget::unlimited());
        let link = start(Connection::new(side, config), io, SocketConfig::default(), Duration::MAX, memory);
        let writer = SystemMutex::new(link.spawner().take().pop());
        let reader = SystemMutex::new(Reader::new(link.clone(), BytesMut::new()));
        let (woken, followed) = (Count::new(), AtomicUsize::new(0));
        let model = Self { link, wire, writer, woken, followed, reader };
        model.poll_writer();
        Arc::new(model)
    }

    /// Polls the writer task: it writes as long as it may, then waits.
    pub(super) fn poll_writer(&self) {
        self.followed.store(self.woken.get(), Relaxed);
        let mut writer = self.writer.try_lock().expect("one thread polls the writer task");
        if let Some(task) = &mut *writer
            && task.as_mut().poll(&mut Context::from_waker(&self.woken.waker())).is_ready()
        {
            *writer = None;
        }
    }

    /// Drops the writer task, as a runtime does that shuts down.
    pub(super) fn drop_writer(&self) {
        let task = self.writer.try_lock().expect("one thread has the writer task").take();
        drop(task);
    }

    /// Polls the writer task if it was woken; lets the time pass for which a connection stays open before it
    /// is closed.
    pub(super) fn settle(&self) {
        loop {
            for mut task in self.link.spawner().take() {
                assert!(task.as_mut().poll(&mut Context::from_waker(&Count::new().waker())).is_ready());
            }
            if self.woken.get() <= self.followed.load(Relaxed) {
                return;
            }
            self.poll_writer();
        }
    }

    /// Polls the reader once: it waits, reads, or resumes.
    pub(super) fn poll_reader(&self, count: &Arc<Count>) -> Poll<Wake> {
        self.reader().poll(&mut Context::from_waker(&count.waker()))
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Reader> {
        self.reader.try_lock().expect("one thread polls the reader")
    }

    /// Returns when the reader's timer is to fire.
    pub(super) fn due(&self) -> Option<Instant> {
        self.reader().due()
    }

    /// Returns the number of bytes that have arrived and were not processed as frames.
    pub(super) fn unread(&self) -> usize {
        self.wire.unread() + self.reader().held_bytes()
    }

    /// Adds `bytes` to the bytes that have arrived.
    pub(super) fn feed(&self, bytes: &[u8]) {
        self.wire.feed(bytes);
    }

    /// Reads `bytes`, wakes all tasks, and waits. Returns the streams that were opened.
    pub(super) fn read(&self, bytes: &[u8]) -> Vec<StreamKey> {
        self.read_while(bytes, || ())
    }

    /// As [`read`](Self::read); calls `meanwhile` each time that the reader yields.
    pub(super) fn read_while(&self, bytes: &[u8], mut meanwhile: impl FnMut()) -> Vec<StreamKey> {
        self.feed(bytes);
        let mut opened = Vec::new();
        let woken = Count::new();
        while let Poll::Ready(wake) = self.poll_reader(&woken) {
            if !self.handle(wake, &mut opened, &mut meanwhile) {
                break;
            }
        }
        opened
    }

    /// Lets the reader handle `wake` to the end. Returns whether it continues.
    pub(super) fn handle(
        &self,
        wake: Wake,
        opened: &mut Vec<StreamKey>,
        meanwhile: &mut impl FnMut(),
    ) -> bool {
        let (mut reader, woken) = (self.reader(), Count::new());
        let mut open = |key| opened.push(key);
        let mut handling = pin!(reader.handle(wake, &mut open));
        loop {
            let before = woken.get();
            match handling.as_mut().poll(&mut Context::from_waker(&woken.waker())) {
                Poll::Ready(goes_on) => return goes_on,
                Poll::Pending => meanwhile(),
            }
            assert!(woken.get() > before, "it waits only to yield");
        }
    }

    /// Reads `bytes` on a thread of its own.
    pub(super) fn reading(self: &Arc<Self>, bytes: BytesMut) -> JoinHandle<()> {
        self.doing(move |model| drop(model.read(&bytes)))
    }

    pub(super) fn doing<R: 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> R + 'static,
    ) -> JoinHandle<R> {
        let model = self.clone();
        spawn(move || work(&model))
    }

    pub(super) fn poll_open(&self, count: &Arc<Count>) -> Poll<Result<StreamKey, StreamError>> {
        self.poll_open_until(count, None)
    }

    pub(super) fn poll_open_until(
        &self,
        count: &Arc<Count>,
        deadline: Option<Instant>,
    ) -> Poll<Result<StreamKey, StreamError>> {
        let metadata = Metadata::new();
        let (method, service) = (Arc::new(Method::new("M").unwrap()), Arc::from("ServiceA"));
        let open = Open {
            method: &method,
            metadata: &metadata,
            service: &service,
            deadline,
            wire_deadline: None,
            recv_timeout: None,
        };
        self.link.poll_open(&mut Context::from_waker(&count.waker()), &open)
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
        self.link.poll_send(&mut Context::from_waker(&count.waker()), key, &Message::Borrowed(message))
    }

    pub(super) fn poll_recv(&self, count: &Arc<Count>, key: StreamKey) -> Poll<Result<Option<Bytes>, Error>> {
        self.link.poll_recv(&mut Context::from_waker(&count.waker()), key, None)
    }

    /// Lets the handler that had `scope` return.
    pub(super) fn return_handler(&self, key: StreamKey, scope: &Scope) {
        self.link.finish(key, &Finish::default(), scope);
    }

    /// Returns the bytes that were written and not read.
    pub(super) fn written(&self) -> BytesMut {
        self.settle();
        self.take_written()
    }

    /// The same, without polling the writer task.
    pub(super) fn take_written(&self) -> BytesMut {
        self.wire.take_written()
    }

    /// Returns how often it was closed.
    pub(super) fn closes(&self) -> usize {
        self.wire.shutdowns()
    }

    /// Returns the state machine of the other end, which has read everything written so far.
    pub(super) fn peer(&self, side: Side) -> Peer {
        self.peer_with(side, Config::default())
    }

    /// The same with another configuration.
    pub(super) fn peer_with(&self, side: Side, config: Config) -> Peer {
        let mut peer = Peer(Connection::new(side, config));
        peer.read(self);
        peer
    }

    pub(super) fn check_empty(&self) {
        self.settle();
        self.lock(|state| {
            let connection = &state.connection;
            assert_eq!((connection.held_streams(), connection.received_bytes()), (0, 0));
            assert!(!connection.has_transmit(), "something is left unwritten");
            assert!(state.has_no_slots(), "a slot is left");
        });
    }
}

/// The other end, under no lock: only its written bytes count.
pub(super) struct Peer(pub(super) Connection);

impl Peer {
    pub(super) fn new(side: Side) -> Self {
        Self(Connection::new(side, Config::default()))
    }

    pub(super) fn read(&mut self, model: &Model) {
        self.read_bytes(model.written());
    }

    pub(super) fn read_bytes(&mut self, mut bytes: BytesMut) {
        self.0.handle_read(&mut bytes, clock::now()).unwrap();
        assert!(bytes.is_empty(), "a frame is cut");
    }

    /// Server: returns the streams that were opened so far.
    pub(super) fn opened(&mut self) -> Vec<StreamKey> {
        let events = std::iter::from_fn(|| self.0.poll_event());
        events.filter_map(|event| if let Event::Opened(key) = event { Some(key) } else { None }).collect()
    }

    /// Returns the bytes that it has to write.
    pub(super) fn writes(&mut self) -> BytesMut {
        let (mut bytes, mut batch) = (BytesMut::new(), Transmit::default());
        while self.0.poll_transmit(&mut batch) {
            append(&mut bytes, &mut batch);
        }
        bytes
    }

    pub(super) fn send(&mut self, key: StreamKey, messages: usize) {
        for _ in 0..messages {
            assert!(self.0.send(key, &Message::Borrowed(MESSAGE)).unwrap());
        }
    }

    /// Returns the number of messages that can be received.
    pub(super) fn messages(&mut self, key: StreamKey) -> usize {
        let recv = || matches!(self.0.recv(key, clock::now()), Poll::Ready(Ok(Some(_))));
        std::iter::repeat_with(recv).take_while(|taken| *taken).count()
    }
}

fn append(bytes: &mut BytesMut, batch: &mut Transmit) {
    while batch.remaining() > 0 {
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let filled = batch.fill(&mut slices);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        batch.advance(bytes.len() - before);
    }
}

const MESSAGE: &[u8] = b"message";
