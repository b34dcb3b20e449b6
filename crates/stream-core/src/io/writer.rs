//! Writes queued bytes to an [`Io`]. Owns partial writes and the write timeout for a peer that reads nothing;
//! knows no frames.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::Io;
use crate::rt::timeout;

/// The largest number of parts that one call writes.
const MAX_SLICES: usize = 64;

/// Bytes to be written.
pub trait Output {
    /// Returns the number of bytes left.
    fn remaining(&self) -> usize;

    /// Fills `slices` with the bytes left, from the first on, and returns the number of slices filled.
    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize;

    /// Removes the first `written` bytes.
    fn advance(&mut self, written: usize);
}

impl Output for BytesMut {
    fn remaining(&self) -> usize {
        Buf::remaining(self)
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.chunks_vectored(slices)
    }

    fn advance(&mut self, written: usize) {
        Buf::advance(self, written);
    }
}

/// Writes until nothing is left or the stream accepts no more.
///
/// # Errors
/// The stream's error; it accepted nothing ([`WriteZero`](io::ErrorKind::WriteZero)).
pub fn write_ready(io: &Io, output: &mut impl Output) -> io::Result<()> {
    while output.remaining() > 0 {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let filled = output.fill(&mut slices);
        match io.try_write_vectored(slices.get(..filled).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => output.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes until nothing is left, and waits whenever the stream accepts no more (backpressure).
///
/// # Errors
/// As [`write_ready`]; [`TimedOut`](io::ErrorKind::TimedOut) if the stream accepted nothing for `limit`.
pub async fn write_all(io: &Io, output: &mut impl Output, limit: Duration) -> io::Result<()> {
    loop {
        write_ready(io, output)?;
        if output.remaining() == 0 {
            return Ok(());
        }
        match timeout(limit, std::future::poll_fn(|cx| io.poll_write_ready(cx))).await {
            Some(ready) => ready?,
            None => return Err(io::Error::new(io::ErrorKind::TimedOut, "peer takes no data")),
        }
    }
}
