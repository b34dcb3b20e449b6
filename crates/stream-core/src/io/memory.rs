//! An in-memory duplex byte stream: two bounded pipes. Built on [`crate::sync`], so that loom can model it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;

use crate::rt::poll_proceed;
use crate::sync::Mutex;

/// One end: reads from one pipe and writes into the other.
#[derive(Debug)]
pub(super) struct End {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

/// One direction.
#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// One end was dropped or shut down: bytes in the pipe can still be read, nothing more is written.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

pub(super) fn pair(capacity: usize) -> (End, End) {
    let pipe = || Arc::new(Pipe { state: Mutex::default(), capacity: capacity.max(1) });
    let (there, back) = (pipe(), pipe());
    (End { incoming: back.clone(), outgoing: there.clone() }, End { incoming: there, outgoing: back })
}

impl End {
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let budget = ready!(poll_proceed(cx));
        let mut state = self.incoming.state.lock();
        if state.bytes.is_empty() && !state.closed {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        budget.made_progress();
        Poll::Ready(Ok(()))
    }

    pub(super) fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        if buf.len() == buf.capacity() {
            buf.reserve(1);
        }
        let room = buf.capacity().saturating_sub(buf.len());
        let mut state = self.incoming.state.lock();
        if state.bytes.is_empty() {
            return if state.closed { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = state.bytes.len().min(room);
        let (first, second) = state.bytes.as_slices();
        buf.extend_from_slice(first.get(..count).unwrap_or(first));
        let rest = count.saturating_sub(first.len());
        buf.extend_from_slice(second.get(..rest).unwrap_or(second));
        state.bytes.drain(..count);
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Ok(count)
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let budget = ready!(poll_proceed(cx));
        let mut state = self.outgoing.state.lock();
        if state.bytes.len() >= self.outgoing.capacity && !state.closed {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        budget.made_progress();
        Poll::Ready(Ok(()))
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.outgoing.state.lock();
        if state.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let before = state.bytes.len();
        for slice in slices {
            let left = self.outgoing.capacity.saturating_sub(state.bytes.len());
            state.bytes.extend(slice.get(..left).unwrap_or(slice));
        }
        let written = state.bytes.len().saturating_sub(before);
        if written == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Ok(written)
    }

    pub(super) fn shutdown(&self) {
        self.incoming.close();
        self.outgoing.close();
    }

    pub(super) fn is_closed_by_peer(&self) -> bool {
        self.incoming.state.lock().closed
    }

    pub(super) fn is_quiet(&self) -> bool {
        let state = self.incoming.state.lock();
        state.bytes.is_empty() && !state.closed
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Pipe {
    fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
