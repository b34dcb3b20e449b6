//! Two connections back to back, without socket and clock: the cost of one message in the state machine.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::BytesMut;
use kerrors::Side;
use stream_core::{Message, Metadata};
use ttstream::proto::{Config, Connection, Event, Method, Open, ServerLimits, StreamKey, Transmit};

/// A client's connection and a server's, with streams open between them.
#[derive(Debug)]
pub struct Pair {
    client: Connection,
    server: Connection,
    streams: Vec<(StreamKey, StreamKey)>,
    next: usize,
    batch: Transmit,
    wire: BytesMut,
    message: Vec<u8>,
    now: Instant,
}

impl Pair {
    /// Returns a pair with this many open streams.
    pub fn new(streams: usize) -> Self {
        let config = Config::default();
        let limits = ServerLimits { max_concurrent_streams: streams + 1, ..ServerLimits::default() };
        let mut pair = Self {
            client: Connection::new(Side::Client, config.clone()),
            server: Connection::server(config, limits),
            streams: Vec::new(),
            next: 0,
            batch: Transmit::default(),
            wire: BytesMut::with_capacity(64 * 1024),
            message: vec![0; 1024],
            now: Instant::now(),
        };
        for _ in 0..streams {
            let ends = pair.open();
            pair.streams.push(ends);
        }
        pair
    }

    /// Sends one message of 1 KiB to the server and receives it there, on the streams in turn.
    pub fn message(&mut self) {
        let (from, to) = self.streams[self.next];
        self.next = (self.next + 1) % self.streams.len();
        assert!(self.client.send(from, &Message::Borrowed(&self.message)).expect("it is open"));
        // Pending before it arrives, like a handler's Recv.
        assert!(self.server.recv(to, self.now).is_pending());
        self.carry();
        assert_eq!(self.server.poll_event(), Some(Event::Readable(to)));
        match self.server.recv(to, self.now) {
            Poll::Ready(Ok(Some(message))) => assert_eq!(black_box(message).len(), self.message.len()),
            other => panic!("no message: {other:?}"),
        }
    }

    /// Opens a stream, cancels it at the client, and delivers the cancel to the server.
    pub fn open_and_cancel(&mut self) {
        let (from, to) = self.open();
        let reason = stream_core::cancel::Reason::Canceled;
        self.client.cancel(from, &reason);
        self.client.release(from);
        self.carry();
        assert!(matches!(self.server.poll_event(), Some(Event::Canceled(key, _)) if key == to));
        self.server.finish(to, &ttstream::proto::Finish::default());
        while self.client.poll_event().is_some() {}
    }

    fn open(&mut self) -> (StreamKey, StreamKey) {
        let method = Arc::new(Method::new("Bidi").expect("it is short"));
        let (metadata, service) = (Metadata::new(), Arc::from("ServiceA"));
        let open = Open {
            method: &method,
            metadata: &metadata,
            service: &service,
            deadline: None,
            wire_deadline: None,
            recv_timeout: None,
        };
        let from = self.client.open(&open, self.now).expect("it is open").expect("nothing waits");
        self.carry();
        match self.server.poll_event() {
            Some(Event::Opened(to)) => (from, to),
            other => panic!("no stream: {other:?}"),
        }
    }

    /// Moves the client's output to the server, like a socket.
    fn carry(&mut self) {
        while self.client.poll_transmit(&mut self.batch) {
            while !self.batch.is_empty() {
                let mut slices = [IoSlice::new(&[]); 16];
                let filled = self.batch.fill(&mut slices);
                let parts = &slices[..filled];
                parts.iter().for_each(|part| self.wire.extend_from_slice(part));
                let moved = parts.iter().map(|part| part.len()).sum();
                self.batch.advance(moved);
            }
            self.server.handle_read(&mut self.wire, self.now).expect("ours");
        }
    }
}
