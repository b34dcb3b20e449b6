//! An [`Io`](super::Io) whose other end is a model: it collects written bytes and supplies the bytes to read.

use std::io::{self, IoSlice};
use std::sync::Mutex as SystemMutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use crate::sync::Mutex;

/// The other end. Its own state is behind locks of the system, which loom does not order; `step` is where
/// loom may switch threads.
#[derive(Debug, Default)]
pub struct Wire {
    written: SystemMutex<BytesMut>,
    incoming: SystemMutex<BytesMut>,
    reader: SystemMutex<Option<Waker>>,
    /// A write is accepted only after [`poll_write_ready`](Self::poll_write_ready), as by a full socket: so
    /// never from a sender, and always from the writer task.
    narrow: bool,
    ready: AtomicBool,
    /// A write is in progress.
    writing: AtomicBool,
    shut: AtomicUsize,
    step: Mutex<()>,
}

impl Wire {
    /// Returns a wire that accepts nothing without a wait for readiness.
    pub fn narrow() -> Self {
        Self { narrow: true, ..Self::default() }
    }

    /// Removes and returns the written bytes.
    pub fn take_written(&self) -> BytesMut {
        self.written.lock().unwrap().split()
    }

    /// Adds bytes to be read, and wakes the reader.
    pub fn feed(&self, bytes: &[u8]) {
        self.incoming.lock().unwrap().extend_from_slice(bytes);
        let reader = self.reader.lock().unwrap().take();
        reader.into_iter().for_each(Waker::wake);
    }

    /// Returns the number of bytes that were not read.
    pub fn unread(&self) -> usize {
        self.incoming.lock().unwrap().len()
    }

    /// Returns the number of shutdowns.
    pub fn shutdowns(&self) -> usize {
        self.shut.load(Relaxed)
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        *self.reader.lock().unwrap() = Some(cx.waker().clone());
        if self.unread() > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    pub(super) fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        let bytes = self.incoming.lock().unwrap().split();
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    pub(super) fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ready.store(true, Relaxed);
        Poll::Ready(Ok(()))
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(!self.writing.swap(true, Relaxed), "two concurrent writes");
        // A write takes time: other threads may run meanwhile.
        drop(self.step.lock());
        self.writing.store(false, Relaxed);
        if self.narrow && !self.ready.swap(false, Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let accepted = slices.iter().map(|slice| slice.len()).sum();
        // A socket that was shut down may still accept bytes, which are lost.
        if self.shutdowns() == 0 {
            let mut written = self.written.lock().unwrap();
            slices.iter().for_each(|slice| written.extend_from_slice(slice));
        }
        Ok(accepted)
    }

    pub(super) fn shutdown(&self) {
        self.shut.fetch_add(1, Relaxed);
    }
}
