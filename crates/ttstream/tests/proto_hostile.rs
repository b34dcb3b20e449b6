//! Property tests of a hostile peer: any frame on any stream, corrupted frames, any bytes. The connection
//! never panics, keeps its bounds, writes only valid sequences of frames, and releases all resources.
//! `PROPTEST_CASES=100000` runs more cases.

mod harness;

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use harness::frames::{Seen, Tap};
use kerrors::{ApplicationException, Code, RecvTimeout, Side, StreamError};
use proptest::collection::vec;
use proptest::prelude::*;
use stream_core::cancel::Reason;
use stream_core::{Message, Metadata};
use ttheader_codec::{Limits, key};
use ttstream::proto::{Config, Connection, Event, Finish, Method, Open, ServerLimits, StreamKey, Transmit};

const MAX_PAYLOAD: usize = 600;
const MAX_FRAME: usize = 8000;

/// One step of a schedule.
#[derive(Clone, Debug)]
enum Act {
    /// A whole frame arrives.
    Frame(Seen),
    /// A frame arrives with one byte changed, or cut short.
    Broken(Seen, usize, u8),
    /// Bytes arrive.
    Bytes(Vec<u8>),
    /// The user calls a command of one of the streams.
    Verb(usize, usize),
    /// This many milliseconds pass.
    Time(u64),
    /// The queued bytes are written.
    Write,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        10 => frame().prop_map(Act::Frame),
        1 => (frame(), any::<usize>(), any::<u8>()).prop_map(|(seen, at, byte)| Act::Broken(seen, at, byte)),
        1 => vec(any::<u8>(), 0..40).prop_map(Act::Bytes),
        8 => (any::<usize>(), any::<usize>()).prop_map(|(which, verb)| Act::Verb(which, verb)),
        2 => (0..2000u64).prop_map(Act::Time),
        2 => Just(Act::Write),
    ];
    vec(act, 0..60)
}

fn frame() -> impl Strategy<Value = Seen> {
    let id = prop_oneof![6 => 1..4i32, 1 => Just(0), 1 => Just(-1), 1 => any::<i32>()];
    let kind = prop_oneof![
        Just(&b"1"[..]),
        Just(&b"2"[..]),
        Just(&b"2"[..]),
        Just(&b"3"[..]),
        Just(&b"3"[..]),
        Just(&b"4"[..]),
        Just(&b"5"[..]),
        Just(&b"9"[..]),
        Just(&b""[..]),
    ];
    let exception = (any::<i32>(), vec(any::<char>(), 0..9)).prop_map(|(code, text)| {
        ApplicationException::new(code, text.into_iter().collect::<String>()).encode("M", 1)
    });
    let payload = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..MAX_PAYLOAD), exception];
    let known = prop_oneof![
        Just(key::CANCEL_PATH),
        Just(key::BIZ_STATUS),
        Just(key::BIZ_MESSAGE),
        Just(key::BIZ_EXTRA),
        Just(key::ACL_TOKEN),
    ];
    let value = prop_oneof![
        vec(any::<u8>(), 0..30),
        Just(b"404".to_vec()),
        Just(br#"{"k":"v"}"#.to_vec()),
        Just(vec![b','; 5000]),
    ];
    (id, kind, payload, vec((known, value), 0..4)).prop_map(|(id, kind, payload, strings)| {
        let bare = Seen::unknown(id, kind).payload(payload);
        strings.into_iter().fold(bare, |seen, (key, value)| seen.string(key, value))
    })
}

/// A connection whose peer is the generator.
struct Checked {
    conn: Connection,
    side: Side,
    buf: BytesMut,
    keys: Vec<StreamKey>,
    canceled: Vec<StreamKey>,
    now: Instant,
    written: Tap,
}

impl Checked {
    fn new(side: Side) -> Self {
        let config = Config::default()
            .limits(Limits { frame_len: MAX_FRAME, ..Limits::default() })
            .stream_receive_window(1000)
            .receive_window(3000)
            .slow_consumer_timeout_exclusive(Duration::from_secs(1));
        let limits = ServerLimits { max_concurrent_streams: 4, ..ServerLimits::default() };
        let mut checked = Self {
            conn: match side {
                Side::Client => Connection::new(side, config),
                Side::Server => Connection::server(config, limits),
            },
            side,
            buf: BytesMut::new(),
            keys: Vec::new(),
            canceled: Vec::new(),
            now: Instant::now(),
            written: Tap::default(),
        };
        if side == Side::Client {
            (0..3).for_each(|_| checked.open());
        }
        checked
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Frame(seen) => self.read(&seen.encode()),
            Act::Broken(seen, at, byte) => {
                let mut bytes = seen.encode().to_vec();
                let at = at % bytes.len();
                bytes[at] ^= byte;
                bytes.truncate(if byte % 4 == 0 { at } else { bytes.len() });
                self.read(&bytes);
            }
            Act::Bytes(bytes) => self.read(&bytes),
            Act::Verb(which, verb) => self.verb(which, verb),
            Act::Time(ms) => self.now += Duration::from_millis(ms),
            Act::Write => self.write(),
        }
        self.conn.handle_timeout(self.now);
        self.take_events();
        self.check();
    }

    fn read(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        let was_closed = self.conn.closed().is_some();
        let result = self.conn.handle_read(&mut self.buf, self.now);
        assert!(result.is_ok() || (self.conn.closed().is_some() && !was_closed), "{result:?}");
    }

    fn open(&mut self) {
        let open = Open {
            method: &Arc::new(Method::new("M").unwrap()),
            metadata: &Metadata::new(),
            service: &"ServiceA".into(),
            deadline: Some(self.now + Duration::from_secs(3)),
            wire_deadline: None,
            recv_timeout: Some(RecvTimeout { timeout: Duration::from_secs(1), disable_cancel_remote: true }),
        };
        if let Ok(Some(key)) = self.conn.open(&open, self.now) {
            self.keys.push(key);
        }
    }

    fn verb(&mut self, which: usize, verb: usize) {
        let at = which % self.keys.len().max(1);
        let Some(&key) = self.keys.get(at) else { return };
        match verb % 12 {
            0..=3 => drop(self.conn.recv(key, self.now)),
            4 => drop(self.conn.send(key, &Message::Owned(Bytes::from(vec![0; which % 20_000])))),
            5 => self.conn.close_send(key),
            6 => self.conn.cancel(key, &Reason::Canceled),
            7 => self.conn.discard_incoming(key),
            8 => drop(self.conn.header(key)),
            9 => drop(self.conn.send_header(key)),
            10 => self.conn.finish(key, &Finish::default()),
            _ => self.give_back(at),
        }
    }

    /// The handler returns, if there is one, and the handle is dropped.
    fn give_back(&mut self, at: usize) {
        let key = self.keys.swap_remove(at);
        self.conn.finish(key, &Finish::default());
        self.conn.release(key);
    }

    fn write(&mut self) {
        let mut out = Transmit::default();
        self.conn.poll_transmit(&mut out);
        while !out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = out.fill(&mut slices);
            for slice in &slices[..filled] {
                self.written.feed(slice);
            }
            let written = slices[..filled].iter().map(|slice| slice.len()).sum();
            out.advance(written);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            match event {
                Event::Opened(key) => {
                    assert_eq!(self.side, Side::Server);
                    self.keys.push(key);
                    self.canceled.retain(|canceled| *canceled != key);
                }
                Event::Canceled(key, _) => {
                    assert!(!self.canceled.contains(&key), "canceled twice");
                    self.canceled.push(key);
                }
                _ => {}
            }
        }
    }

    fn check(&self) {
        assert!(self.conn.received_bytes() <= 3000 + MAX_FRAME);
        assert!(self.conn.live_streams() <= 4);
        assert!(self.conn.held_streams() <= 4 + self.keys.len());
    }

    fn finish_all(mut self) {
        while !self.keys.is_empty() {
            self.give_back(0);
        }
        while self.conn.closed().is_none() && self.conn.has_transmit() {
            self.write();
        }
        if self.side == Side::Client {
            self.written.check(self.side);
        }
        assert_eq!((self.conn.held_streams(), self.conn.live_streams()), (0, 0));
        // The timer of a partial frame ends with the connection.
        self.conn.handle_closed(&StreamError::new(Code::TRANSPORT_CLOSING));
        assert_eq!((self.conn.received_bytes(), self.conn.poll_timeout()), (0, None));
    }
}

proptest! {
    #[test]
    fn a_server_survives_any_client(acts in acts()) {
        let mut server = Checked::new(Side::Server);
        acts.into_iter().for_each(|act| server.act(act));
        server.finish_all();
    }

    #[test]
    fn a_client_survives_any_server(acts in acts()) {
        let mut client = Checked::new(Side::Client);
        acts.into_iter().for_each(|act| client.act(act));
        client.finish_all();
    }

    #[test]
    fn reads_cut_anywhere_decode_to_the_same_frames(frames in vec(frame(), 1..20), cuts in vec(1usize..50, 1..20)) {
        for side in [Side::Client, Side::Server] {
            let bytes: Vec<u8> = frames.iter().flat_map(Seen::encode).collect();
            let (mut whole, mut cut) = (Checked::new(side), Checked::new(side));
            whole.read(&bytes);
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (chunk, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                cut.read(chunk);
                rest = later;
            }
            let events = |checked: &mut Checked| std::iter::from_fn(|| checked.conn.poll_event()).collect::<Vec<_>>();
            prop_assert_eq!(events(&mut whole), events(&mut cut));
            prop_assert_eq!(whole.conn.received_bytes(), cut.conn.received_bytes());
            prop_assert_eq!(whole.conn.closed(), cut.conn.closed());
        }
    }
}
