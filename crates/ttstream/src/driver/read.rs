//! The reader: reads the byte stream and runs the connection's timers.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kerrors::{Code, StreamError};

use super::actions::ReadOutcome;
use super::guard::CloseOnDrop;
use super::link::{Link, is_reset};
use super::state::Parked;
use crate::clock;
use crate::io::ReadBuffer;
use crate::proto::{Connection, StreamKey};
use crate::rt::{Timer, log, sleep, yield_now};

/// The longest time for which responses are corked to share one write.
const CORK: Duration = Duration::from_micros(250);

/// Pauses between checks for a reset that follows the end of a connection. It arrives within a round trip.
pub(crate) const RESET_PAUSES: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(15),
    Duration::from_millis(30),
    Duration::from_millis(50),
    Duration::from_millis(150),
];

/// How often the reader of a connection that flow control pauses checks whether the peer has closed it.
const CLOSED_CHECK: Duration = Duration::from_millis(50);

/// The event that has woken the reader.
pub(super) enum Wake {
    /// A read returned this number of bytes.
    Read(io::Result<usize>),
    /// Flow control has resumed the connection: buffered frames may be processed.
    Resumed,
    Timer,
    Closed,
}

pub(super) struct Reader {
    link: Arc<Link>,
    buffer: ReadBuffer,
    timer: Timer,
    /// The connection is paused by flow control, possibly with whole frames in the buffer.
    held: bool,
    /// When to check next whether the peer has closed the connection, while it is paused.
    check_at: Option<Instant>,
}

/// Reads until the connection is closed. `begun` contains bytes that were read before; `opened` is called for
/// each stream that the peer opens, and must not block. Closes the connection if it is dropped before its
/// end, even if it was never polled.
pub(crate) fn read_loop(
    link: Arc<Link>,
    begun: BytesMut,
    mut opened: impl FnMut(StreamKey),
) -> impl Future<Output = ()> {
    let guard = CloseOnDrop::new(link.clone());
    async move {
        let mut reader = Reader::new(link, begun);
        loop {
            let wake = reader.next().await;
            if !reader.handle(wake, &mut opened).await {
                break;
            }
        }
        guard.disarm();
    }
}

impl Reader {
    pub(super) fn new(link: Arc<Link>, begun: BytesMut) -> Self {
        let held = !begun.is_empty();
        Self { link, buffer: ReadBuffer::new(begun), timer: Timer::default(), held, check_at: None }
    }

    /// Handles `wake`. Returns whether to continue.
    pub(super) async fn handle(&mut self, wake: Wake, opened: &mut impl FnMut(StreamKey)) -> bool {
        match wake {
            Wake::Read(Ok(1..)) | Wake::Resumed => self.deliver(opened).await,
            Wake::Timer => self.handle_timeout(clock::now()),
            Wake::Closed => return false,
            Wake::Read(result) => {
                let cause = match result {
                    Ok(_) => {
                        self.await_reset().await;
                        "connection closed by peer".to_owned()
                    }
                    Err(error) => {
                        self.link.lock(|state| state.unread |= is_reset(&error));
                        format!("connection lost: {error}")
                    }
                };
                self.link.lose(&StreamError::new(Code::TRANSPORT_CLOSING).with_cause(cause));
                return false;
            }
        }
        true
    }

    /// The peer has closed its end. If a stream was opened by the last frame that was sent, waits for the reset with which the
    /// peer's system answers unread bytes.
    async fn await_reset(&self) {
        let now = clock::now();
        let may_be_unread = self.link.lock(|state| {
            // So that no other stream is opened on it meanwhile.
            state.ending = true;
            state.connection.may_be_unread(now)
        });
        if !may_be_unread {
            return;
        }
        for pause in RESET_PAUSES {
            if self.link.io().is_reset() {
                return self.link.lock(|state| state.unread = true);
            }
            sleep(pause).await;
        }
    }

    async fn next(&mut self) -> Wake {
        let busy = self.link.busy_poll();
        // The system's clock: with a test's paused clock the loop would never end.
        let began = (!busy.is_zero()).then(Instant::now);
        while began.is_some_and(|began| began.elapsed() < busy) {
            if let Poll::Ready(wake) = poll_fn(|cx| Poll::Ready(self.poll(cx))).await {
                return wake;
            }
            yield_now().await;
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Waits until there is something to do.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let Parked { closed, paused, due } = self.link.lock(|state| state.park(cx));
        if closed {
            return Poll::Ready(Wake::Closed);
        }
        let due = if paused { due.into_iter().chain(self.next_check()).min() } else { due };
        if self.timer.poll_until(due, cx).is_ready() {
            return Poll::Ready(Wake::Timer);
        }
        if paused {
            return Poll::Pending;
        }
        if self.held {
            return Poll::Ready(Wake::Resumed);
        }
        self.buffer.poll_fill(self.link.io(), cx).map(Wake::Read)
    }

    /// Processes the frames that were read and wakes the tasks concerned, one at a time: the woken task runs
    /// next, and the reader after it. An idle thread may steal the reader, and wake the next task. If all
    /// were woken at once, threads would be woken for handlers that have finished before the threads run.
    /// Responses sent meanwhile are written with one call.
    async fn deliver(&mut self, opened: &mut impl FnMut(StreamKey)) {
        let ReadOutcome { wake, opened: keys, corked } = self.take_frames();
        let mut since = corked.then(clock::now);
        for waker in wake {
            waker.wake();
            self.let_run(corked, &mut since).await;
        }
        for key in keys {
            opened(key);
            self.let_run(corked, &mut since).await;
        }
        if since.is_some() {
            self.link.uncork();
        }
    }

    /// Yields to the task that was woken. If that takes long, earlier responses are written without further
    /// delay.
    async fn let_run(&self, corked: bool, since: &mut Option<Instant>) {
        if corked {
            requeue().await;
        }
        if since.take_if(|since| clock::now().saturating_duration_since(*since) >= CORK).is_some() {
            self.link.uncork();
        }
    }

    fn take_frames(&mut self) -> ReadOutcome {
        let Self { link, buffer, .. } = self;
        let now = clock::now();
        let (result, outcome) = link.update_read(|state| {
            state.received = true;
            let result = state.connection.handle_read(buffer.bytes(), now);
            state.connection.set_partial_bytes(buffer.len());
            state.scheduler.on_received(state.connection.live_streams());
            result.map(|()| state.connection.is_paused())
        });
        match result {
            Ok(paused) => self.held = paused,
            Err(error) => {
                log(link.io().peer_addr(), &error, "closing connection: protocol violation by the peer");
                link.give_up(&StreamError::from(&error));
            }
        }
        self.buffer.shrink();
        self.link.memory().relieve();
        outcome
    }

    /// Returns when to check whether the peer has closed the paused connection: its readiness does not say so to a task that
    /// waits.
    #[cold]
    fn next_check(&mut self) -> Option<Instant> {
        self.check_at = self.check_at.or_else(|| clock::now().checked_add(CLOSED_CHECK));
        self.check_at
    }

    /// Reads on if the peer has closed a connection that is paused: its last frames, and the end.
    fn check_closed(&mut self, now: Instant) {
        if self.check_at.take_if(|at| *at <= now).is_some() && self.link.io().is_closed_by_peer() {
            self.link.update_connection(Connection::end_flow_control);
        }
    }

    /// A process that stood still, or had too much to do, finds a timer due before it has read what has come meanwhile.
    fn check_unread(&self, now: Instant) {
        let is_slow = self.link.lock(|state| state.connection.is_frame_slow(now));
        if is_slow && !self.link.io().is_quiet() {
            self.link.lock(|state| state.connection.read_is_late());
        }
    }

    /// Ends streams whose timers are due, and the connection if its idle timeout has passed.
    fn handle_timeout(&mut self, now: Instant) {
        self.check_closed(now);
        self.check_unread(now);
        let closed = self.link.update_connection(|connection| {
            connection.handle_timeout(now);
            connection.closed().cloned()
        });
        if let Some(error) = closed {
            log(self.link.io().peer_addr(), &error, "closing connection: a limit of time was reached");
            return self.link.close(&error);
        }
        if self.link.lock(|state| state.check_idle(self.link.idle_timeout(), now)) {
            self.link.retire();
        }
    }

    /// For models: returns when the timer is to fire.
    #[cfg(all(test, loom))]
    pub(super) fn due(&self) -> Option<Instant> {
        self.timer.due()
    }

    /// For models: returns the number of bytes that were read and not processed.
    #[cfg(all(test, loom))]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// Yields to all tasks that are ready on this thread. `yield_now` would poll for events each time.
async fn requeue() {
    let mut queued = false;
    poll_fn(|cx| {
        if mem::replace(&mut queued, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
