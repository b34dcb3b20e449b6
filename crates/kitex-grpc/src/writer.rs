//! The bytes of one connection that wait to be written: those of h2, and frames of our own between them. h2 passes each
//! DATA frame on its own; the connection's task writes what one of its polls has passed at once.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use kerrors::Side;
use stream_core::clock;
use stream_core::io::Io;
use stream_core::rt::Timer;
use stream_core::sync::Mutex;

use crate::frames::{Found, Headers, Scanner};
use crate::origin::Origins;
use crate::wire::Wire;

/// Bytes that wait at most, and then one frame, or the frames of our own.
const MAX_WAITING: usize = 64 * 1024;

/// The outgoing half of a connection, shared by h2's byte stream and the connection's task.
#[derive(Clone, Debug)]
pub(crate) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    io: Arc<Io>,
    wire: Arc<Wire>,
    origins: Arc<Origins>,
    write_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: BytesMut,
    /// Follows the bytes that were accepted from h2.
    outgoing: Scanner,
    /// Client: `None` at a server.
    openings: Option<Openings>,
    /// Whether the connection's task writes, not each flush of h2.
    batches: bool,
    /// When a pending write times out.
    due: Option<Instant>,
    timer: Timer,
    /// What a write of the connection's task failed with.
    failed: Option<Failure>,
}

/// Which openings of a client were written.
#[derive(Debug, Default)]
struct Openings {
    /// Bytes of h2 and of our own that were accepted.
    accepted: u64,
    /// Streams, and where their openings end among those bytes, as far as nothing was written after them.
    ends: VecDeque<(u32, u64)>,
    /// The last stream whose opening was followed by other bytes.
    followed: u32,
}

impl Openings {
    fn accept(&mut self, bytes: usize) {
        self.accepted = self.accepted.saturating_add(bytes as u64);
    }

    /// The opening of `stream` ends before the last `behind` bytes.
    fn add(&mut self, stream: u32, behind: usize) {
        self.ends.push_back((stream, self.accepted.saturating_sub(behind as u64)));
    }

    /// `waiting` bytes of those accepted are not written.
    fn wrote(&mut self, waiting: usize, wire: &Wire) {
        let written = self.accepted.saturating_sub(waiting as u64);
        while let Some((stream, _)) = self.ends.front().filter(|(_, end)| *end < written) {
            self.followed = *stream;
            self.ends.pop_front();
        }
        let last = self.ends.front().filter(|(_, end)| *end == written);
        wire.set_openings(self.followed, last.map_or(0, |(stream, _)| *stream));
    }
}

/// The parts of an `io::Error`, which cannot be copied.
#[derive(Debug)]
struct Failure {
    os: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self { os: error.raw_os_error(), kind: error.kind(), text: error.to_string() }
    }

    fn error(&self) -> io::Error {
        self.os.map_or_else(|| io::Error::new(self.kind, self.text.clone()), io::Error::from_raw_os_error)
    }
}

impl Writer {
    pub(crate) fn new(
        io: Arc<Io>,
        write_timeout: Duration,
        side: Side,
        wire: Arc<Wire>,
        origins: Arc<Origins>,
    ) -> Self {
        let outgoing = match side {
            Side::Client => Scanner::after_preface(),
            Side::Server => Scanner::default(),
        };
        let state = State {
            waiting: BytesMut::new(),
            outgoing,
            openings: (side == Side::Client).then(Openings::default),
            batches: false,
            due: None,
            timer: Timer::default(),
            failed: None,
        };
        Self(Arc::new(Shared { io, wire, origins, write_timeout, state: Mutex::new(state) }))
    }

    /// From now on a flush of h2 writes nothing: the connection's task calls [`write_batch`](Self::write_batch) after each
    /// poll of h2's connection.
    pub(crate) fn batch(&self) {
        self.0.state.lock().batches = true;
    }

    /// Writes what waits, as far as the peer takes it: the task is woken when it takes more. Returns `false` if that has
    /// failed just now: h2's connection is to be polled again, to get the error from [`failure`](Self::failure).
    pub(crate) fn write_batch(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.0.state.lock();
        if state.failed.is_some() {
            return true;
        }
        let Poll::Ready(Err(error)) = state.poll_write(&self.0, cx) else { return true };
        state.failed = Some(Failure::of(&error));
        false
    }

    /// Returns the number of bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.state.lock().waiting.len()
    }

    /// Returns what a write of the connection's task has failed with.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.0.state.lock().failed.as_ref().map(Failure::error)
    }

    /// Accepts bytes of h2. Pending while as much waits as may.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let shared = &*self.0;
        let mut state = shared.state.lock();
        let state = &mut *state;
        if let Some(failure) = &state.failed {
            return Poll::Ready(Err(failure.error()));
        }
        state.put_own(shared);
        if !shared.origins.has_queued() || state.is_committed(shared) {
            return state.poll_accept(shared, cx, slices);
        }
        // No further than where a frame of our own may be put.
        let slice = slices.iter().find(|slice| !slice.is_empty()).map(|slice| &**slice).unwrap_or_default();
        let len = state.outgoing.until_boundary().min(slice.len());
        state.poll_accept(shared, cx, &[IoSlice::new(slice.get(..len).unwrap_or_default())])
    }

    /// h2 flushes.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state.lock();
        if state.batches { Poll::Ready(Ok(())) } else { state.poll_write(&self.0, cx) }
    }

    /// Writes what waits: h2 shuts down.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state.lock().poll_write(&self.0, cx)
    }
}

impl State {
    /// Returns whether a layer has encrypted bytes of h2 beyond those that wait: they come next.
    fn is_committed(&self, shared: &Shared) -> bool {
        shared.io.committed() > self.waiting.len()
    }

    /// Records what was written so far. What a layer has encrypted may have been.
    fn note_written(&mut self, shared: &Shared) {
        let Some(openings) = &mut self.openings else { return };
        match self.waiting.len().checked_sub(shared.io.committed()) {
            Some(waiting) => openings.wrote(waiting, &shared.wire),
            // With bytes that are h2's still.
            None => shared.wire.set_openings(u32::MAX, 0),
        }
    }

    /// Adds the frames of our own, if there are any and they may stand here.
    fn put_own(&mut self, shared: &Shared) {
        if self.outgoing.is_between_frames() && !self.is_committed(shared) {
            let own = shared.origins.take_queued();
            self.openings.iter_mut().for_each(|openings| openings.accept(own.len()));
            self.waiting.unsplit(own);
        }
    }

    fn poll_accept(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let accepted = self.poll_take(shared, cx, slices);
        self.note_written(shared);
        accepted
    }

    fn poll_take(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().fold(0_usize, |len, slice| len.saturating_add(slice.len()));
        let taken = if self.batches && self.waiting.len().saturating_add(len) <= MAX_WAITING {
            // A short frame that comes alone takes what it needs; the buffer of several grows once, before it holds much.
            let alone = self.waiting.is_empty() && len < MAX_WAITING / 16;
            self.waiting.reserve(if alone { len } else { MAX_WAITING.saturating_sub(self.waiting.len()) });
            slices.iter().for_each(|slice| self.waiting.extend_from_slice(slice));
            len
        } else {
            ready!(self.poll_write_with(shared, cx, slices))?
        };
        let mut left = taken;
        for slice in slices {
            let len = left.min(slice.len());
            left = left.saturating_sub(len);
            let mut openings = self.openings.as_mut();
            openings.iter_mut().for_each(|openings| openings.accept(len));
            self.outgoing.scan(slice.get(..len).unwrap_or_default(), |found| {
                if let (Found::Headers(Headers { stream, behind, .. }), Some(openings)) =
                    (found, &mut openings)
                {
                    openings.add(stream, behind);
                }
            });
        }
        Poll::Ready(Ok(taken))
    }

    /// Writes what waits, then bytes of `slices`. Returns how many of these.
    fn poll_write_with(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let waited = self.waiting.len();
            let len = ready!(self.poll_write_some(shared, cx, slices))?;
            if len > waited {
                return Poll::Ready(Ok(len.saturating_sub(waited)));
            }
        }
    }

    fn poll_write(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.poll_write_waiting(shared, cx);
        self.note_written(shared);
        written
    }

    fn poll_write_waiting(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.put_own(shared);
            // What a layer has encrypted is offered whole: h2 waits with the rest of it.
            if self.waiting.is_empty() || self.is_committed(shared) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_write_some(shared, cx, &[]))?;
        }
    }

    /// Writes what the peer takes now of what waits and then of `slices`. Returns the number of bytes, at least one.
    fn poll_write_some(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let waiting = IoSlice::new(&self.waiting);
            let written = if slices.is_empty() {
                shared.io.try_write_vectored(&[waiting])
            } else {
                let all: Vec<_> = std::iter::once(waiting).chain(slices.iter().copied()).collect();
                shared.io.try_write_vectored(&all)
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_room(shared, cx))?;
                }
                written => {
                    let len = shared.wire.check(written)?;
                    if len == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    self.wrote(len);
                    return Poll::Ready(Ok(len));
                }
            }
        }
    }

    fn wrote(&mut self, len: usize) {
        self.due = None;
        if len < self.waiting.len() {
            self.waiting.advance(len);
        } else {
            // An idle connection keeps no buffer.
            self.waiting = BytesMut::new();
        }
    }

    fn poll_room(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(ready) = shared.io.poll_write_ready(cx) {
            return Poll::Ready(ready);
        }
        let due = *self.due.get_or_insert_with(|| {
            let now = clock::now();
            now.checked_add(shared.write_timeout).unwrap_or(now)
        });
        ready!(self.timer.poll_until(Some(due), cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "peer takes no data")))
    }
}
