//! What is known of the other end of a connection.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use stream_core::sync::Mutex;
use tokio::sync::Notify;

/// Frames other than data that h2 is passed before other connections have their turn: those of a peer that opens and resets
/// streams take about 0.2 ms.
const TURN: usize = 64;

/// How much of the opening of a client's stream was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Not its last byte: the peer has not seen the opening.
    No,
    /// All, and nothing else since: a peer that has not read everything has not read the opening.
    Last,
    /// All, and more.
    Followed,
}

/// What is known of the other end of a byte stream.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    reads: AtomicU64,
    bytes: AtomicU64,
    unread: AtomicBool,
    /// Frames that the current turn may still pass to h2, those of data not counted.
    turn: AtomicUsize,
    /// See [`set_openings`](Self::set_openings).
    openings: AtomicU64,
    /// See [`note_block`](Self::note_block).
    blocks: Mutex<Vec<u32>>,
    has_blocks: AtomicBool,
    /// Streams that have not ended.
    pub(crate) live: AtomicUsize,
    first: Notify,
}

impl Wire {
    /// Returns the number of reads that returned data.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Acquire)
    }

    /// Returns the number of bytes that were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits for the first read that returns data.
    pub(crate) async fn first_read(&self) {
        let first = self.first.notified();
        if self.reads() == 0 {
            first.await;
        }
    }

    /// Counts a read that returned `bytes`.
    pub(crate) fn count_read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.reads.fetch_add(1, Ordering::AcqRel) == 0 {
            self.first.notify_waiters();
        }
    }

    /// The connection's task polls h2: it is passed [`TURN`] frames that are not data, and then waits until others have run.
    pub(crate) fn begin_turn(&self) {
        self.turn.store(TURN, Ordering::Relaxed);
    }

    /// Passes frames to h2 by `pass`, which is given how many may be passed and counts them down. Returns what it returns.
    pub(crate) fn pass<R>(&self, pass: impl FnOnce(&mut usize) -> R) -> R {
        let mut left = self.turn.load(Ordering::Relaxed);
        let passed = pass(&mut left);
        self.turn.store(left, Ordering::Relaxed);
        passed
    }

    /// Notes the stream of a block of headers that may be of no use: h2 keeps those that are not taken, and no window bounds
    /// them. They are the trailers of requests, and interim responses but the first of a stream.
    pub(crate) fn note_block(&self, stream: u32) {
        self.blocks.lock().push(stream);
        self.has_blocks.store(true, Ordering::Relaxed);
    }

    /// Returns in `blocks` the streams that were noted since the last call.
    pub(crate) fn take_blocks(&self, blocks: &mut Vec<u32>) {
        blocks.clear();
        // Set by the task that calls this.
        if self.has_blocks.load(Ordering::Relaxed) {
            self.has_blocks.store(false, Ordering::Relaxed);
            std::mem::swap(&mut *self.blocks.lock(), blocks);
        }
    }

    /// The other end was closed before it has read everything.
    pub(crate) fn set_unread(&self) {
        self.unread.store(true, Ordering::Release);
    }

    /// Returns whether the other end was closed before it has read everything.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Acquire)
    }

    /// Client: other bytes have followed the openings of the streams up to `followed`; that of `last` was written last, if it is
    /// not 0.
    pub(crate) fn set_openings(&self, followed: u32, last: u32) {
        self.openings.store(u64::from(followed) << 32 | u64::from(last), Ordering::Release);
    }

    /// Client: returns how much was written of the opening of `stream`. Streams are opened in the order of their ids.
    pub(crate) fn opening(&self, stream: u32) -> Written {
        let openings = self.openings.load(Ordering::Acquire);
        let (stream, followed, last) = (u64::from(stream), openings >> 32, openings & u64::from(u32::MAX));
        match stream > followed {
            true if stream == last => Written::Last,
            true if stream > last => Written::No,
            _ => Written::Followed,
        }
    }

    /// Returns `result`, the result of a read or a write, after a look at its error.
    pub(crate) fn check<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        {
            self.set_unread();
        }
        result
    }
}
