//! The bytes of one vectored write.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use ttheader_codec::EncodeError;

use crate::buffer_pool;

/// Buffers below this capacity are kept by their connection.
const KEPT: usize = 16 * 1024;

/// Bytes for one vectored write: a buffer, then large payloads, each with a buffer behind it.
#[derive(Debug, Default)]
pub struct Transmit {
    head: BytesMut,
    rest: VecDeque<(Bytes, BytesMut)>,
    len: usize,
    frames: usize,
}

impl Transmit {
    /// Returns the number of frames that were put into it.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Returns the number of bytes left to write.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `slices` with the bytes left, from the first on. Returns the number of slices filled.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let rest = self.rest.iter().flat_map(|(payload, buffer)| [&payload[..], &buffer[..]]);
        let parts = std::iter::once(&self.head[..]).chain(rest).filter(|part| !part.is_empty());
        let mut filled: usize = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            filled = filled.saturating_add(1);
        }
        filled
    }

    /// Removes the first `written` bytes. The first buffer is kept for the next batch.
    pub fn advance(&mut self, written: usize) {
        self.len = self.len.saturating_sub(written);
        if self.is_empty() {
            self.frames = 0;
            self.head.clear();
            self.rest.clear();
            return;
        }
        let mut left = written;
        step(&mut self.head, &mut left);
        while let Some((payload, buffer)) = self.rest.front_mut() {
            step(payload, &mut left);
            step(buffer, &mut left);
            if payload.has_remaining() || buffer.has_remaining() {
                break;
            }
            self.rest.pop_front();
        }
    }

    /// Returns a large buffer to the pool, so that an idle connection keeps none.
    pub(super) fn recycle(&mut self) {
        if self.head.capacity() >= KEPT {
            buffer_pool::release(mem::take(&mut self.head));
        }
    }

    /// Lets `put` append one frame to the last buffer, and counts the appended bytes.
    #[inline]
    pub(super) fn put(
        &mut self,
        put: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        if self.head.capacity() == 0 {
            self.head = buffer_pool::acquire();
        }
        let buffer = self.rest.back_mut().map_or(&mut self.head, |(_, buffer)| buffer);
        let before = buffer.len();
        put(buffer)?;
        self.len = self.len.saturating_add(buffer.len().saturating_sub(before));
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    /// Appends a payload without a copy.
    pub(super) fn push(&mut self, payload: Bytes) {
        self.len = self.len.saturating_add(payload.len());
        self.rest.push_back((payload, BytesMut::new()));
    }
}

fn step(bytes: &mut impl Buf, left: &mut usize) {
    let step = bytes.remaining().min(*left);
    bytes.advance(step);
    *left = left.saturating_sub(step);
}
