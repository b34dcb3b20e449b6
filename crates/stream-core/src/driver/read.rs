//! Reads the socket and keeps the connection's time.

use std::future::Future;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kerrors::{Code, StreamError};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Sleep;
use tracing::debug;

use super::link::Link;
use super::state::{News, Parked};
use crate::buffer_pool as spare;
use crate::proto::StreamKey;

/// Bytes that one read has room for.
const READ: usize = 64 * 1024;
/// The beginning of a frame that is not longer is kept in a buffer of its own.
const SHORT: usize = 4 * 1024;

/// How long answers wait for others that may leave with them.
const HOLD: Duration = Duration::from_micros(250);

enum Wake {
    /// So many bytes were read.
    Read(io::Result<usize>),
    /// Frames that were held back may be taken now.
    Resumed,
    Timer,
    Closed,
}

struct Reader {
    link: Arc<Link>,
    socket: OwnedReadHalf,
    buf: BytesMut,
    timer: Option<Pin<Box<Sleep>>>,
    /// The connection was paused with whole frames in the buffer, perhaps.
    held: bool,
}

/// Reads until the connection is closed. `buf` holds what was read before; `opened` is called for each
/// stream that the peer opens, and must not block.
pub(crate) async fn read_loop(
    link: Arc<Link>,
    socket: OwnedReadHalf,
    buf: BytesMut,
    mut opened: impl FnMut(StreamKey),
) {
    let held = !buf.is_empty();
    let mut reader = Reader { link, socket, buf, timer: None, held };
    loop {
        match reader.next().await {
            Wake::Read(Ok(0)) => return reader.link.close(&lost("connection closed by peer")),
            Wake::Read(Ok(_)) => reader.pass_on(&mut opened).await,
            Wake::Read(Err(error)) => {
                return reader.link.close(&lost(&format!("connection lost: {error}")));
            }
            Wake::Resumed => reader.pass_on(&mut opened).await,
            Wake::Timer => reader.link.pass_time(Instant::now()),
            Wake::Closed => return,
        }
    }
}

impl Reader {
    async fn next(&mut self) -> Wake {
        let busy = self.link.busy_poll;
        let began = (!busy.is_zero()).then(Instant::now);
        while began.is_some_and(|began| began.elapsed() < busy) {
            if let Poll::Ready(wake) = std::future::poll_fn(|cx| Poll::Ready(self.poll(cx))).await {
                return wake;
            }
            tokio::task::yield_now().await;
        }
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let Parked { closed, paused, due } = self.link.peek(|state| state.park(cx));
        if closed {
            return Poll::Ready(Wake::Closed);
        }
        if self.poll_timer(due, cx).is_ready() {
            return Poll::Ready(Wake::Timer);
        }
        if paused {
            return Poll::Pending;
        }
        if self.held {
            return Poll::Ready(Wake::Resumed);
        }
        self.poll_read(cx).map(Wake::Read)
    }

    /// No buffer before there is something to read, so that idle connections stay small. A read that does
    /// not fill it is not followed by another that finds nothing.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.socket.as_ref().poll_read_ready(cx))?;
        if self.buf.len() <= SHORT {
            let begun = mem::replace(&mut self.buf, spare::acquire());
            self.buf.extend_from_slice(&begun);
        }
        self.buf.reserve(READ);
        let read = pin!(self.socket.read_buf(&mut self.buf)).poll(cx);
        if read.is_pending() {
            self.put_away();
        }
        read
    }

    /// Keeps no more than the beginning of a frame.
    fn put_away(&mut self) {
        if self.buf.len() <= SHORT {
            let begun = BytesMut::from(&self.buf[..]);
            spare::release(mem::replace(&mut self.buf, begun));
        }
    }

    fn poll_timer(&mut self, due: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx)
    }

    /// Takes the frames that were read and tells everyone whom they concern, one after another: whoever is
    /// told runs next, and the reader behind him. A thread that has nothing to do takes over the reader, and
    /// tells the next. Were all told at once, threads would be woken for handlers that are done before they
    /// come. What is answered meanwhile is written with one call.
    async fn pass_on(&mut self, opened: &mut impl FnMut(StreamKey)) {
        let News { wake, opened: keys, several } = self.take_frames();
        let mut held = several.then(Instant::now);
        for waker in wake {
            waker.wake();
            self.let_run(several, &mut held).await;
        }
        for key in keys {
            opened(key);
            self.let_run(several, &mut held).await;
        }
        if held.is_some() {
            self.link.flush_answers();
        }
    }

    /// Lets whoever was told run. Where that takes long, what was answered before waits no longer.
    async fn let_run(&self, several: bool, held: &mut Option<Instant>) {
        if several {
            requeue().await;
        }
        if held.take_if(|since| since.elapsed() >= HOLD).is_some() {
            self.link.flush_answers();
        }
    }

    fn take_frames(&mut self) -> News {
        let Self { link, buf, .. } = self;
        let (result, news) = link.read(|state| {
            let result = state.connection.handle_read(buf, Instant::now());
            state.writer.heard(state.connection.live_streams());
            result.map(|()| state.connection.is_paused())
        });
        match result {
            Ok(paused) => self.held = paused,
            Err(error) => {
                debug!(peer = %link.peer(), %error, "closing connection: peer broke the protocol");
                link.close(&StreamError::from(&error));
            }
        }
        self.put_away();
        news
    }
}

impl Link {
    /// Ends what had its time: streams, and the connection itself if it was without any for too long.
    fn pass_time(&self, now: Instant) {
        self.with(|connection| connection.handle_timeout(now));
        if self.peek(|state| state.look_if_idle(self.idle, now)) {
            self.retire();
        }
    }
}

/// Goes behind all that is ready to run on this thread. `yield_now` would look for events first, each time.
async fn requeue() {
    let mut queued = false;
    std::future::poll_fn(|cx| {
        if mem::replace(&mut queued, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn lost(cause: &str) -> StreamError {
    StreamError::new(Code::TRANSPORT_CLOSING).with_cause(cause)
}
