//! The reader: reads the byte stream and keeps the connection's time.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kerrors::{Code, StreamError};

use super::guard::CloseOnDrop;
use super::link::Link;
use super::state::{Parked, ReadOutcome};
use crate::clock;
use crate::io::ReadBuffer;
use crate::proto::StreamKey;
use crate::rt::{Timer, log, yield_now};

/// How long answers wait for others that may leave with them.
const CORK: Duration = Duration::from_micros(250);

/// What the reader has waited for.
pub(super) enum Wake {
    /// So many bytes were read.
    Read(io::Result<usize>),
    /// Frames that were held back may be taken now.
    Resumed,
    Timer,
    Closed,
}

pub(super) struct Reader {
    link: Arc<Link>,
    buffer: ReadBuffer,
    timer: Timer,
    /// The connection was paused with whole frames in the buffer, perhaps.
    held: bool,
}

/// Reads until the connection is closed. `begun` holds what was read before; `opened` is called for each
/// stream that the peer opens, and must not block. Closes the connection if it is dropped before its end, even if
/// it was never polled.
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
        Self { link, buffer: ReadBuffer::new(begun), timer: Timer::default(), held }
    }

    /// Does what `wake` asks for. Returns whether to go on.
    pub(super) async fn handle(&mut self, wake: Wake, opened: &mut impl FnMut(StreamKey)) -> bool {
        match wake {
            Wake::Read(Ok(1..)) | Wake::Resumed => self.deliver(opened).await,
            Wake::Timer => self.handle_timeout(clock::now()),
            Wake::Closed => return false,
            Wake::Read(result) => {
                let cause = match result {
                    Ok(_) => "connection closed by peer".to_owned(),
                    Err(error) => format!("connection lost: {error}"),
                };
                self.link.close(&StreamError::new(Code::TRANSPORT_CLOSING).with_cause(cause));
                return false;
            }
        }
        true
    }

    async fn next(&mut self) -> Wake {
        let busy = self.link.busy_poll();
        // The system's clock: a test's paused clock would never let the loop end.
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

    /// Takes the frames that were read and wakes everyone whom they concern, one after another: the woken
    /// task runs next, and the reader behind it. A thread that has nothing to do takes over the reader, and
    /// wakes the next. Were all woken at once, threads would be woken for handlers that are done before they
    /// come. What is answered meanwhile is written with one call.
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

    /// Lets the task that was woken run. Where that takes long, what was answered before waits no longer.
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
            state.scheduler.on_received(state.connection.live_streams());
            result.map(|()| state.connection.is_paused())
        });
        match result {
            Ok(paused) => self.held = paused,
            Err(error) => {
                log(link.io().peer_addr(), &error, "closing connection: peer broke the protocol");
                link.close(&StreamError::from(&error));
            }
        }
        self.buffer.shrink();
        outcome
    }

    /// Ends what had its time: streams, and the connection itself if it was without any for too long.
    fn handle_timeout(&self, now: Instant) {
        self.link.update_connection(|connection| connection.handle_timeout(now));
        if self.link.lock(|state| state.check_idle(self.link.idle_timeout(), now)) {
            self.link.retire();
        }
    }

    /// For models: when the timer is to fire.
    #[cfg(all(test, loom))]
    pub(super) fn due(&self) -> Option<Instant> {
        self.timer.due()
    }

    /// For models: how many bytes were read and are held back.
    #[cfg(all(test, loom))]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// Goes behind all that is ready to run on this thread. `yield_now` would look for events first, each time.
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
