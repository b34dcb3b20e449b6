//! A checked connection: reads and writes bytes, and checks the invariants after each step, for any behavior
//! of the other end. Owns the state of a driver; the commands of its user are in `verbs`.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use kerrors::{Code, Error, ErrorKind, RecvTimeout, Side, StreamError};
use ttheader_codec::{FrameType, Header, Limits, Oversize, decode_frame, peek_frame, peek_oversize};
use ttstream::proto::{Config, Connection, Event, Finish, ServerLimits, StreamKey, Transmit};

use crate::frames::Seen;
use crate::handle::{Handle, Taken, stream_error};
use crate::written::Written;
use crate::{Script, check_text};

/// One connection and its user.
#[derive(Debug)]
pub struct Peer {
    pub(crate) conn: Connection,
    pub(crate) side: Side,
    pub(crate) now: Instant,
    pub(crate) handles: Vec<Handle>,
    /// The received messages, by stream.
    pub(crate) taken: BTreeMap<i32, Taken>,
    /// An open was pending, and not woken since.
    pub(crate) waits_open: bool,
    bounds: Config,
    limits: ServerLimits,
    buf: BytesMut,
    out: Transmit,
    written: Written,
    /// Reading is paused by flow control.
    paused: bool,
    /// The bytes of a frame over a limit that are still to be skipped.
    to_skip: usize,
}

impl Peer {
    /// Returns a new connection with these `bounds`.
    pub fn new(side: Side, (bounds, limits): (Config, ServerLimits), now: Instant) -> Self {
        Self {
            conn: match side {
                Side::Client => Connection::new(side, bounds.clone()),
                Side::Server => Connection::server(bounds.clone(), limits),
            },
            side,
            now,
            handles: Vec::new(),
            taken: BTreeMap::new(),
            waits_open: false,
            bounds,
            limits,
            buf: BytesMut::new(),
            out: Transmit::default(),
            written: Written::new(side),
            paused: false,
            to_skip: 0,
        }
    }

    /// Returns bounds that a short input can reach.
    pub fn bounds(script: &mut Script<'_>, limits: Limits) -> (Config, ServerLimits) {
        let [slow_consumer_timeout, slow_consumer_timeout_exclusive] =
            [&[500, 10, 0][..], &[30_000, 20, 0]].map(|table| Duration::from_millis(script.pick(table)));
        let idle = [None, None, Some(0), Some(20), Some(400)];
        let max_concurrent_streams = script.pick(&[1024, 1, 2, 3]);
        let config = Config::default()
            .limits(limits)
            .stream_receive_window(script.pick(&[1024 * 1024, 256, 1000, 20_000]))
            .receive_window(script.pick(&[16 * 1024 * 1024, 512, 3000, 40_000]))
            .slow_consumer_timeout(slow_consumer_timeout)
            .slow_consumer_timeout_exclusive(slow_consumer_timeout_exclusive)
            .stream_send_buffer(script.pick(&[64 * 1024, 1, 600, 20_000]))
            .send_buffer(script.pick(&[1024 * 1024, 1, 1500, 60_000]));
        let recv_timeout = recv_timeout(script);
        let config = config.stream_idle_timeout(script.pick(&idle).map(Duration::from_millis));
        let config = config.flow_credits(script.byte() % 2 == 1);
        (config, ServerLimits { max_concurrent_streams, recv_timeout })
    }

    /// Returns the error that the connection was closed with.
    pub fn closed(&self) -> Option<&StreamError> {
        self.conn.closed()
    }

    /// Reads received bytes.
    pub fn read(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        self.settle();
    }

    /// Advances the time to `now`.
    pub fn advance(&mut self, now: Instant) {
        self.now = now;
        // A deadline is a cancel: received messages are dropped.
        for handle in &mut self.handles {
            handle.discarded |= handle.outcome.is_none() && handle.deadline.is_some_and(|at| at <= now);
        }
        if self.conn.poll_timeout().is_some_and(|at| at <= now) {
            self.conn.handle_timeout(now);
        }
        assert!(self.conn.poll_timeout().is_none_or(|at| at > now), "a timer is due that has fired");
        self.settle();
        for handle in self.handles.iter().filter(|handle| !handle.released) {
            let late = handle.recv_until.is_some_and(|at| at <= now) && handle.waits_recv;
            assert!(!late, "{handle:?}: its Recv has not timed out");
            let late = handle.deadline.is_some_and(|at| at <= now) && handle.outcome.is_none();
            assert!(!late, "{handle:?}: has not ended at its deadline");
        }
    }

    /// Loses the connection.
    pub fn lose(&mut self, error: &StreamError) {
        self.conn.handle_closed(error);
        self.settle();
    }

    /// Returns the next output, up to `most` bytes.
    pub fn write(&mut self, most: usize) -> Vec<u8> {
        if self.conn.closed().is_some() {
            return Vec::new();
        }
        if self.out.is_empty() {
            let wanted = self.conn.has_transmit();
            let polled = self.conn.poll_transmit(&mut self.out);
            assert!(wanted || !polled, "output without has_transmit");
        }
        let bytes = gather(&self.out, most);
        self.out.advance(bytes.len());
        self.written.saw(&bytes, |id| self.taken.get(&id).map(|taken| taken.openings));
        self.settle();
        bytes
    }

    /// Returns whether there is output.
    pub fn has_output(&self) -> bool {
        self.conn.closed().is_none() && (!self.out.is_empty() || self.conn.has_transmit())
    }

    /// Ends a step: continues reading if it is not paused, and checks everything.
    pub(crate) fn settle(&mut self) {
        self.take_events();
        while self.read_on() {
            self.take_events();
        }
        self.take_events();
        self.check();
    }

    /// Reads the received bytes, as a driver does after each step; returns whether any were taken.
    fn read_on(&mut self) -> bool {
        if self.conn.closed().is_some() || self.buf.is_empty() || self.paused {
            return false;
        }
        self.look();
        let before = self.buf.clone();
        let result = self.conn.handle_read(&mut self.buf, self.now);
        self.paused = self.conn.is_paused();
        let taken = before.len() - self.buf.len();
        assert_eq!(before[taken..], self.buf, "bytes that were not taken are unchanged");
        self.saw_taken(BytesMut::from(&before[..taken]));
        match result {
            Ok(()) if self.paused => {}
            Ok(()) => {
                let limits = &self.bounds.limits;
                let is_left = match peek_frame(&self.buf, limits) {
                    Err(error) if error.is_over_limit() => {
                        peek_oversize(&self.buf, limits).is_ok_and(|frame| frame.is_none())
                    }
                    whole => whole.is_ok_and(|frame| frame.is_none()),
                };
                assert!(is_left && (self.to_skip == 0 || self.buf.is_empty()), "a whole frame was not taken");
            }
            Err(error) => {
                assert_eq!(self.conn.closed(), Some(&StreamError::from(&error)));
                check_text(&error.to_string());
            }
        }
        taken > 0
    }

    /// Records the taken bytes: whole frames, and the received part of a frame that exceeds a limit.
    fn saw_taken(&mut self, mut bytes: BytesMut) {
        let limits = self.bounds.limits;
        loop {
            let skipped = self.to_skip.min(bytes.len());
            bytes.advance(skipped);
            self.to_skip -= skipped;
            if bytes.is_empty() {
                return;
            }
            match decode_frame(&mut bytes, &limits) {
                Ok(Some(frame)) => self.saw_frame(Seen::from(frame)),
                Err(error) if error.is_over_limit() => {
                    let frame =
                        peek_oversize(&bytes, &limits).ok().flatten().expect("its header has arrived");
                    self.saw_oversize(&frame);
                    self.to_skip = frame.frame_len;
                }
                other => panic!("taken bytes are not whole frames: {other:?}"),
            }
        }
    }

    /// Records a frame that exceeds a limit: it ends its stream, or is refused as an opening, which is
    /// unknown if its header is too long.
    fn saw_oversize(&mut self, frame: &Oversize<'_>) {
        let id = frame.sequence_id;
        let kind = frame.header.as_ref().map(Header::frame_type);
        match (self.side, kind) {
            (_, Some(Some(FrameType::Meta))) => {}
            (Side::Server, Some(Some(FrameType::Header))) => {
                let openings = self.taken.get(&id).map_or(0, |taken| taken.openings) + 1;
                self.taken.insert(id, Taken { openings, over: true, ..Taken::default() });
            }
            (Side::Server, None) => {
                let taken = self.taken.entry(id).or_default();
                (taken.openings, taken.over) = (taken.openings + 1, true);
            }
            (_, kind) => {
                if let Some(taken) = self.taken.get_mut(&id).filter(|taken| !taken.over) {
                    taken.reset |= kind == Some(Some(FrameType::Rst));
                    taken.over = true;
                }
            }
        }
    }

    fn saw_frame(&mut self, seen: Seen) {
        if self.side == Side::Server && seen.kind == Some(FrameType::Header) {
            let openings = self.taken.get(&seen.id).map_or(0, |taken| taken.openings) + 1;
            self.taken.insert(seen.id, Taken { openings, ..Taken::default() });
            return;
        }
        let Some(taken) = self.taken.get_mut(&seen.id).filter(|taken| !taken.over) else { return };
        match seen.kind {
            Some(FrameType::Data) => taken.data.push(seen.payload),
            Some(FrameType::Trailer) => (taken.trailer, taken.over) = (true, true),
            Some(FrameType::Rst) => (taken.reset, taken.over) = (true, true),
            // A client's stream may have one header.
            Some(FrameType::Header) => (taken.openings, taken.over) = (1, taken.openings > 0),
            Some(FrameType::Meta) => taken.metas += 1,
            None => taken.over = true,
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Opened(key) => {
                assert_eq!(self.side, Side::Server);
                let live = self.handles.iter().any(|handle| handle.key == key && !handle.released);
                assert!(!live, "{key:?} is opened twice");
                let opening = self.taken[&key.id().get()].openings;
                let recv_timeout = self.limits.recv_timeout;
                self.handles.push(Handle { recv_timeout, ..Handle::new(key, opening) });
            }
            Event::Readable(key) => self.of(key, |handle| {
                (handle.waits_recv, handle.waits_header) = (false, false);
            }),
            Event::Writable(key) => self.of(key, |handle| handle.waits_send = false),
            Event::Openable => self.waits_open = false,
            Event::Canceled(key, error) => {
                assert_eq!(self.side, Side::Server);
                check_text(&error.to_string());
                let outcome = self.conn.outcome(key);
                self.of(key, |handle| {
                    assert!(handle.outcome.is_none() && !handle.finished, "{handle:?} ends twice: {error}");
                    let Some(Err(Error::Stream(outcome))) = &outcome else { panic!("{outcome:?}: {error}") };
                    assert_eq!(*outcome, error);
                    (handle.discarded, handle.saw_canceled) = (true, true);
                });
            }
            Event::Reset(_, error) => {
                assert_eq!(self.side, Side::Client);
                check_text(&error.to_string());
            }
            Event::Resumed => self.paused = false,
        }
    }

    /// Calls `what` with the handle of a key that was not released.
    fn of(&mut self, key: StreamKey, what: impl Fn(&mut Handle)) {
        self.handles.iter_mut().filter(|handle| handle.key == key && !handle.released).for_each(what);
    }

    /// Updates which streams have ended: further frames for them are ignored.
    fn look(&mut self) {
        for handle in self.handles.iter_mut().filter(|handle| !handle.released && handle.outcome.is_none()) {
            handle.saw_outcome(self.conn.outcome(handle.key));
            let missed = self.side == Side::Server && handle.outcome.is_some() && !handle.saw_canceled;
            assert!(!missed || handle.finished, "{handle:?}: its handler got no Canceled event");
            let taken = self.taken.get_mut(&handle.key.id().get());
            // A client's ids are not reused, a server's may be, by its peer.
            let same = |taken: &&mut Taken| taken.openings == handle.opening || self.side == Side::Client;
            if let Some(taken) = taken.filter(same) {
                taken.over |= handle.outcome.is_some();
                let timed_out = stream_error(&handle.outcome).is_some_and(is_recv_timeout);
                assert!(!timed_out || !taken.trailer, "{handle:?}: the end arrived before its Recv timeout");
            }
        }
    }

    fn check(&mut self) {
        self.look();
        let running = self.handles.iter().filter(|handle| !handle.finished).count();
        assert!(
            self.side == Side::Client || running <= self.limits.max_concurrent_streams,
            "{running} handlers run"
        );
        let received = self.conn.received_bytes();
        let bound = self.bounds.receive_window + self.bounds.limits.frame_len;
        assert!(received <= bound, "{received} bytes are held");
        if self.conn.closed().is_some() {
            return;
        }
        assert_eq!(self.paused, self.conn.is_paused(), "the reader is out of step with is_paused");
        let stalls = self.paused && !self.conn.has_transmit();
        assert!(!stalls || self.conn.poll_timeout().is_some(), "paused without a timer");
    }

    /// Checks that all waits were woken, when nothing is in flight. `granted` unless the peer may have left out to grant
    /// credit, for which a Send waits.
    pub(crate) fn check_woken(&self, granted: bool) {
        assert!(!self.waits_open, "a waiting open was not woken");
        for handle in self.handles.iter().filter(|handle| !handle.released) {
            assert!(!(granted && handle.waits_send), "{handle:?}: its Send was not woken");
            assert!(!(handle.waits_recv && handle.outcome.is_some()), "{handle:?}: its Recv was not woken");
        }
    }

    /// Checks that nothing is left: no stream, no byte, no timer.
    pub(crate) fn check_empty(&self) {
        assert_eq!(self.conn.held_streams(), 0, "streams are held");
        assert_eq!(self.conn.live_streams(), 0, "streams are routed");
        assert_eq!(self.conn.received_bytes(), 0, "received bytes are held");
        let timer = self.conn.poll_timeout().filter(|at| self.conn.arrival_timeout() != Some(*at));
        assert_eq!(timer, None, "a timer is armed");
        assert!(!self.conn.has_transmit(), "something is to be written");
        assert!(self.conn.closed().is_some() || !self.conn.is_paused(), "paused without a stream");
    }

    /// Finishes and releases every stream, writes everything, closes the connection, and checks that nothing
    /// is left.
    pub fn finish_all(&mut self) {
        self.write_all();
        self.check_woken(!self.bounds.flow_credits || self.conn.closed().is_some());
        self.release_all();
        self.check_empty();
        self.lose(&StreamError::new(Code::TRANSPORT_CLOSING));
        self.check_woken(true);
        self.check_empty();
    }

    /// Finishes and releases every stream, including those that the peer opens when there is room.
    pub(crate) fn release_all(&mut self) {
        let mut known = 0;
        while known < self.handles.len() {
            known = self.handles.len();
            for at in 0..known {
                self.finish(at, &Finish::default());
                self.release(at);
            }
            self.settle();
            self.write_all();
        }
    }

    pub(crate) fn write_all(&mut self) {
        while self.has_output() {
            self.write(usize::MAX);
        }
    }
}

/// Returns whether it is a Recv timeout of this side.
fn is_recv_timeout(error: &StreamError) -> bool {
    error.code() == Code::RECV_TIMEOUT && error.kind() == ErrorKind::Timeout
}

/// Returns the timeout of a Recv.
pub(crate) fn recv_timeout(script: &mut Script<'_>) -> Option<RecvTimeout> {
    let (millis, disable_cancel_remote) =
        script.pick(&[None, None, None, Some((10, false)), Some((10, true)), Some((0, false))])?;
    Some(RecvTimeout { timeout: Duration::from_millis(millis), disable_cancel_remote })
}

fn gather(out: &Transmit, most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = out.fill(&mut slices);
    let mut bytes = Vec::new();
    for slice in &slices[..filled] {
        assert!(!slice.is_empty(), "an empty slice is never written");
        bytes.extend_from_slice(&slice[..slice.len().min(most - bytes.len())]);
    }
    assert!(bytes.len() <= out.len() && (filled > 0 || out.is_empty()));
    bytes
}
