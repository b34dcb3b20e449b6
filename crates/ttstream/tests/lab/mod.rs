//! Plays one row of the table on two connections: brings a stream to its state, and ends it. Knows nothing of
//! the expected outcome.

use std::io;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use kerrors::{ApplicationException, Error, RecvTimeout, Side, StreamError};
use stream_core::Metadata;
use stream_core::cancel::{Reason, Scope, Target};
use ttheader_codec::{FrameType, key};
use ttstream::proto::{Config, Event, Finish, ServerLimits, StreamKey};

use super::harness::frames::Seen;
use super::harness::wire::{Edit, Wire};
use super::harness::{Dial, Pair};
use super::table::{Mode, Row, State, Way};

const TIMEOUT: Duration = Duration::from_millis(100);

/// One stream between two peers.
pub(crate) struct Lab {
    pub(crate) pair: Pair,
    pub(crate) way: Way,
    mode: Mode,
    state: State,
    pub(crate) key: StreamKey,
    handler: Option<StreamKey>,
    /// The handler has returned.
    pub(crate) returned: bool,
    /// The error of a Recv that timed out and kept the stream.
    pub(crate) kept: Option<Error>,
}

impl Lab {
    pub(crate) fn new(way: Way, row: &Row) -> Self {
        let narrow = Config::default().stream_receive_window(512);
        let (client, server) = match way {
            Way::Slow(Side::Client) => (narrow, Config::default()),
            Way::Slow(Side::Server) => (Config::default(), narrow),
            Way::Idle(Side::Client) => (restless(), Config::default()),
            Way::Idle(Side::Server) => (Config::default(), restless()),
            _ => (Config::default(), Config::default()),
        };
        let limits = match way {
            Way::HandlerRecvTimeout => {
                ServerLimits { recv_timeout: Some(RecvTimeout::new(TIMEOUT)), ..ServerLimits::default() }
            }
            Way::Refused => ServerLimits { max_concurrent_streams: 0, ..ServerLimits::default() },
            _ => ServerLimits::default(),
        };
        let mut pair = Pair::with_limits(client, server, limits);
        match way {
            Way::TrailerTo(side) | Way::OddTrailerTo(side) => {
                wire_to(&mut pair, side).edit = Some(on_trailer(way));
            }
            Way::Draining => pair.server.conn.drain(),
            Way::OddBiz => pair.to_client.edit = Some(on_trailer(way)),
            _ => {}
        }
        if (way, row.state) == (Way::DataTo(Side::Server), State::Fresh) {
            let now = pair.now();
            pair.to_server.inject(&Seen::new(1, FrameType::Data).payload("early").encode(), now);
        }
        let returns = matches!(way, Way::Return | Way::ReturnBiz | Way::ReturnError);
        pair.to_server.held = row.state == State::Fresh && !returns;
        let key = pair.open(&dial(way));
        let (mode, state) = (row.mode, row.state);
        let mut lab = Self { pair, way, mode, state, key, handler: None, returned: false, kept: None };
        if lab.mode == Mode::Down {
            lab.send(Side::Client, 1);
            lab.pair.client.conn.close_send(key);
        }
        lab.pair.drive();
        lab
    }

    pub(crate) fn reach(&mut self) {
        let state = self.state;
        if state == State::Fresh {
            return;
        }
        let handler = self.handler();
        self.pair.server.conn.send_header(handler).unwrap();
        self.pair.drive();
        if state == State::Answered {
            return;
        }
        if self.mode != Mode::Up {
            self.send(Side::Server, 2);
        }
        if self.mode != Mode::Down {
            self.send(Side::Client, 2);
        }
        self.pair.drive();
        match state {
            State::HalfClosed => self.pair.client.conn.close_send(self.key),
            State::Finishing => {
                if self.mode == Mode::Up {
                    self.send(Side::Server, 1);
                    self.pair.drive();
                }
                self.pair.to_client.held = true;
                self.finish(&Finish::default());
            }
            State::Fresh | State::Answered | State::Flowing => {}
        }
        self.pair.drive();
    }

    pub(crate) fn act(&mut self) {
        let (key, id) = (self.key, self.key.id().get());
        match self.way {
            Way::Cancel => self.cancel(&Reason::Canceled),
            Way::Cause => self.cancel(&Reason::Cause(Arc::new(io::Error::other("user pressed stop")))),
            Way::Deadline => self.pair.advance(TIMEOUT),
            Way::RecvTimeout => self.wait_in_recv(Side::Client),
            Way::HandlerRecvTimeout => self.wait_in_recv(Side::Server),
            Way::SendTimeout(Side::Client) => self.pair.client.conn.handle_send_timeout(key, TIMEOUT),
            Way::SendTimeout(Side::Server) => {
                let handler = self.handler();
                self.pair.server.conn.handle_send_timeout(handler, TIMEOUT);
            }
            Way::Idle(_) => self.pair.advance(TIMEOUT + TIMEOUT / 4),
            Way::EndAll => self.pair.server.conn.end_all("ServiceB"),
            Way::RecvTimeoutKeep => {
                self.wait_in_recv(Side::Client);
                let Poll::Ready(Err(error)) = self.pair.recv(Side::Client, key) else { panic!("no timeout") };
                assert!(error.stream().is_some_and(StreamError::is_retryable));
                self.kept = Some(error);
            }
            Way::Upstream | Way::UpstreamLost | Way::UpstreamReturned | Way::Foreign => {
                let reason = self.cascade();
                self.cancel(&reason);
            }
            Way::Release => self.pair.client.conn.release(key),
            Way::Return | Way::RstThenReturn | Way::ReturnBiz | Way::ReturnError => self.act_as_handler(),
            Way::Lost => self.pair.lose(),
            Way::LateCancel | Way::LateDeadline | Way::LateLost => {
                self.settle();
                match self.way {
                    Way::LateCancel => self.cancel(&Reason::Canceled),
                    Way::LateDeadline => self.pair.advance(TIMEOUT),
                    _ => self.pair.lose(),
                }
            }
            Way::GarbageTo(side) => self.inject(side, b"HTTP/1.1 200 OK"),
            Way::RstTo(side) => self.inject(side, &gateway(id)),
            Way::RstToBoth => {
                self.inject(Side::Server, &gateway(id));
                self.inject(Side::Client, &gateway(id));
            }
            Way::RstThenData => {
                self.inject(Side::Client, &gateway(id));
                self.send(Side::Server, 2);
            }
            Way::BareRstTo(side) => self.inject(side, &Seen::new(id, FrameType::Rst).encode()),
            Way::OddRstTo(side) => {
                self.inject(side, &Seen::new(id, FrameType::Rst).payload("odd payload").encode());
            }
            Way::HeaderTo(side) => self.inject(side, &Seen::new(id, FrameType::Header).encode()),
            Way::DataTo(Side::Server) if self.state == State::Fresh => {}
            Way::DataTo(side) => self.inject(side, &Seen::new(id, FrameType::Data).payload("odd").encode()),
            Way::UnknownTo(side) => self.inject(side, &Seen::unknown(id, b"9").encode()),
            Way::MetaTo(side) => self.inject(side, &Seen::new(id, FrameType::Meta).encode()),
            Way::Slow(_) => self.pair.advance(Config::default().slow_consumer_timeout_exclusive),
            Way::TrailerTo(_) | Way::OddTrailerTo(_) | Way::OddBiz | Way::Refused | Way::Draining => {}
        }
    }

    fn act_as_handler(&mut self) {
        let finish = match self.way {
            Way::RstThenReturn => return self.inject(Side::Server, &gateway(self.key.id().get())),
            Way::ReturnBiz => {
                let trailer =
                    [("biz-status", "404"), ("biz-message", "biz says no"), ("biz-extra", r#"{"k":"v"}"#)];
                Finish { trailer: trailer.into_iter().collect(), exception: None }
            }
            Way::ReturnError => failed("handler failed"),
            _ => Finish::default(),
        };
        self.finish(&finish);
    }

    /// Delivers all held bytes.
    pub(crate) fn settle(&mut self) {
        self.pair.drive();
        self.pair.to_server.held = false;
        self.pair.to_client.held = false;
        self.pair.drive();
    }

    /// The handler sees that its stream has ended, and returns the error that it saw.
    pub(crate) fn react(&mut self) {
        let Some(handler) = self.handler.filter(|_| !self.returned) else { return };
        let Some(Err(error)) = self.pair.server.conn.outcome(handler) else { return };
        let finish =
            if self.way == Way::RstThenReturn { Finish::default() } else { failed(&error.to_string()) };
        self.finish(&finish);
        self.pair.drive();
    }

    pub(crate) fn tear_down(&mut self) {
        if let Some(handler) = self.handler {
            self.finish(&Finish::default());
            self.pair.server.conn.release(handler);
        }
        self.pair.client.conn.release(self.key);
        self.pair.drive();
    }

    pub(crate) fn end_of(&mut self, side: Side) -> Option<StreamKey> {
        match side {
            Side::Client => Some(self.key),
            Side::Server => {
                let id = self.key.id();
                let opened = |event: &Event| matches!(event, Event::Opened(key) if key.id() == id);
                let aware = self.pair.server.events.iter().any(opened);
                aware.then(|| self.handler())
            }
        }
    }

    fn handler(&mut self) -> StreamKey {
        *self.handler.get_or_insert_with(|| self.pair.accepted(self.key))
    }

    fn finish(&mut self, finish: &Finish) {
        let handler = self.handler();
        self.returned = true;
        self.pair.server.conn.finish(handler, finish);
    }

    fn send(&mut self, side: Side, messages: usize) {
        let key = if side == Side::Client { self.key } else { self.handler() };
        for _ in 0..messages {
            assert!(self.pair.send(side, key, b"message").unwrap());
        }
    }

    fn cancel(&mut self, reason: &Reason) {
        self.pair.client.conn.cancel(self.key, reason);
    }

    fn inject(&mut self, to: Side, bytes: &[u8]) {
        let now = self.pair.now();
        wire_to(&mut self.pair, to).inject(bytes, now);
        self.pair.drive();
    }

    fn wait_in_recv(&mut self, side: Side) {
        let key = if side == Side::Client { self.key } else { self.handler() };
        while let Poll::Ready(message) = self.pair.recv(side, key) {
            assert!(message.unwrap().is_some());
        }
        self.pair.advance(TIMEOUT);
    }

    /// Ends ServiceA's call to ServiceB, under whose handler the stream was opened. Returns the reason that
    /// the stream is canceled with.
    fn cascade(&self) -> Reason {
        let listener = Arc::new(Listener::default());
        let scope = Scope::new();
        let _registration = scope.register(listener.clone(), self.key.token()).unwrap();
        scope.cancel(&match self.way {
            Way::Foreign => Reason::Foreign(Arc::new(io::Error::other("grpc: canceled"))),
            way => Reason::Stream(end_of_front(way)),
        });
        let (token, reason) = listener.0.lock().unwrap().take().expect("the stream is canceled");
        assert_eq!(StreamKey::from_token(token), Some(self.key));
        reason
    }
}

/// A target that records its cancel.
#[derive(Default)]
struct Listener(Mutex<Option<(u64, Reason)>>);

impl Target for Listener {
    fn cancel(&self, token: u64, reason: &Reason) {
        let before = self.0.lock().unwrap().replace((token, reason.clone()));
        assert!(before.is_none(), "canceled twice");
    }
}

/// Returns the error that the handler of ServiceB sees when ServiceA's call to it ends.
fn end_of_front(way: Way) -> StreamError {
    let mut front = Pair::default();
    let key = front.open(&Dial::default());
    front.drive();
    let handler = front.accepted(key);
    match way {
        Way::Upstream => front.client.conn.cancel(key, &Reason::Canceled),
        Way::UpstreamLost => front.lose(),
        _ => front.server.conn.finish(handler, &Finish::default()),
    }
    front.drive();
    let outcome = front.server.conn.outcome(handler).expect("the front stream has ended");
    outcome.unwrap_err().stream().expect("a stream error").clone()
}

fn restless() -> Config {
    Config::default().stream_idle_timeout(TIMEOUT)
}

fn dial(way: Way) -> Dial {
    let keep = way == Way::RecvTimeoutKeep;
    let waits = keep || way == Way::RecvTimeout;
    let cascades = matches!(way, Way::Upstream | Way::UpstreamLost | Way::UpstreamReturned | Way::Foreign);
    Dial {
        service: if cascades { "ServiceB" } else { "ServiceA" },
        deadline: matches!(way, Way::Deadline | Way::LateDeadline).then_some(TIMEOUT),
        recv_timeout: waits.then_some(RecvTimeout { timeout: TIMEOUT, disable_cancel_remote: keep }),
        ..Dial::default()
    }
}

fn wire_to(pair: &mut Pair, side: Side) -> &mut Wire {
    match side {
        Side::Client => &mut pair.to_client,
        Side::Server => &mut pair.to_server,
    }
}

/// A proxy that changes trailers on their way.
fn on_trailer(way: Way) -> Edit {
    Box::new(move |seen| {
        if seen.frame_type() != Some(FrameType::Trailer) {
            return vec![seen];
        }
        vec![match way {
            Way::TrailerTo(_) => seen.payload(ApplicationException::new(6, "peer failed").encode("M", 1)),
            Way::OddBiz => seen.string(key::BIZ_STATUS, "404").string(key::BIZ_EXTRA, "odd"),
            _ => seen.payload("odd payload"),
        }]
    })
}

fn gateway(id: i32) -> Bytes {
    Seen::rst(id, 12009, "gateway says no", "Gateway").encode()
}

/// Returns the end of a failed handler, as Kitex encodes its error.
fn failed(text: &str) -> Finish {
    let text = format!("biz error: {text}");
    let exception = ApplicationException::new(ApplicationException::INTERNAL_ERROR, text);
    Finish { trailer: Metadata::new(), exception: Some(exception) }
}
