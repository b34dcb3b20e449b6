//! What waits to be written: one batch that leaves with the next write, and behind it the streams that
//! have more, each in its turn. Owns the order of frames on the wire.
//!
//! A frame joins the batch at once while the batch is small and no stream has anything queued: every
//! frame, as long as the socket keeps up. When it does not, data waits at its stream, and an Rst
//! overtakes it: it joins the batch, and what its stream had queued is dropped.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use ttheader_codec::{EncodeError, FrameType};

use super::method::{Frame, Method};
use super::stream::{Queued, Stream};
use super::table::Table;
use super::{StreamId, StreamKey};
use crate::spare;

/// Bytes that one write should have. Beyond them data waits at its stream.
pub(crate) const BATCH: usize = 64 * 1024;
/// Bytes that a stream may add in its turn.
const TURN: usize = 16 * 1024;
/// Payloads from this size on are not copied.
const LARGE: usize = 16 * 1024;

/// Bytes for one vectored write: a buffer, then large payloads, each with a buffer behind it.
#[derive(Debug, Default)]
pub struct Transmit {
    head: BytesMut,
    rest: VecDeque<(Bytes, BytesMut)>,
    len: usize,
    frames: usize,
}

impl Transmit {
    /// Frames that it was made of.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Bytes that are left to write.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `slices` with what is left, from the first byte on; gives how many were filled.
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

    /// `written` bytes are gone. The first buffer is kept for the next batch.
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

    /// An idle connection keeps no large buffer.
    fn recycle(&mut self) {
        if self.head.capacity() >= TURN {
            spare::give(mem::take(&mut self.head));
        }
    }

    /// Lets `put` append to the last buffer, and counts what it appended.
    fn put(&mut self, put: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>) -> Result<(), EncodeError> {
        if self.head.capacity() == 0 {
            self.head = spare::take();
        }
        let buffer = self.rest.back_mut().map_or(&mut self.head, |(_, buffer)| buffer);
        let before = buffer.len();
        put(buffer)?;
        self.len = self.len.saturating_add(buffer.len().saturating_sub(before));
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    fn push(&mut self, payload: Bytes) {
        self.len = self.len.saturating_add(payload.len());
        self.rest.push_back((payload, BytesMut::new()));
    }
}

fn step(bytes: &mut impl Buf, left: &mut usize) {
    let step = bytes.remaining().min(*left);
    bytes.advance(step);
    *left = left.saturating_sub(step);
}

#[derive(Debug, Default)]
pub(super) struct Outbound {
    batch: Transmit,
    /// Streams whose outbox holds something, each once.
    turns: VecDeque<StreamKey>,
    /// Bytes in all outboxes.
    queued: usize,
    /// Frames in the batch that reply to protocol violations rather than serve a stream.
    replies: usize,
    /// The batch has an Rst in it.
    urgent: bool,
}

impl Outbound {
    /// Bytes that wait, in the batch and at the streams.
    pub(super) fn bytes(&self) -> usize {
        self.batch.len().saturating_add(self.queued)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.turns.is_empty()
    }

    pub(super) fn replies(&self) -> usize {
        self.replies
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Queues one message.
    pub(super) fn data(
        &mut self,
        key: StreamKey,
        stream: &mut Stream,
        payload: &Payload<'_>,
    ) -> Result<(), EncodeError> {
        // The length is checked even if the frame is encoded later, so that a queued frame cannot fail.
        let len = payload.as_ref().len();
        stream.sent.count(len);
        // Whoever found room at once while others wait for their turn would take it from them.
        if self.batch.len() < BATCH && self.turns.is_empty() {
            return self.put_data(stream, payload);
        }
        stream.method.check(len)?;
        self.enqueue(key, stream, Queued::Data(payload.to_bytes()));
        Ok(())
    }

    /// Queues a frame behind what its stream has queued.
    pub(super) fn frame(
        &mut self,
        key: StreamKey,
        stream: &mut Stream,
        frame: &Frame<'_>,
    ) -> Result<(), EncodeError> {
        self.urgent |= frame.frame_type == FrameType::Rst;
        if stream.outbox.is_empty() {
            return self.batch.put(|out| stream.method.put_frame(stream.id, frame, out));
        }
        let mut encoded = BytesMut::new();
        stream.method.put_frame(stream.id, frame, &mut encoded)?;
        self.enqueue(key, stream, Queued::Frame(encoded.freeze()));
        Ok(())
    }

    /// Queues a frame for a stream that is not there: a reply to a protocol violation.
    pub(super) fn reply(&mut self, id: StreamId, method: &Method, frame: &Frame<'_>) {
        self.replies = self.replies.saturating_add(1);
        // Never refused: its strings are bounded, and its text is far below the bound of a frame.
        let _ = self.batch.put(|out| method.put_frame(id, frame, out));
    }

    /// Drops what the stream has queued.
    pub(super) fn purge(&mut self, stream: &mut Stream) {
        self.queued = self.queued.saturating_sub(stream.outbox.bytes());
        stream.outbox.clear();
    }

    /// Moves the next batch to `out`, which must be empty. Gives the streams that had a turn.
    pub(super) fn take(&mut self, table: &mut Table, out: &mut Transmit) -> Vec<StreamKey> {
        let mut served = Vec::new();
        while self.batch.len() < BATCH {
            let Some(key) = self.turns.pop_front() else { break };
            if let Some(stream) = table.get_mut(key) {
                self.serve(key, stream);
                served.push(key);
            }
        }
        self.replies = 0;
        self.urgent = false;
        if self.batch.is_empty() {
            self.batch.recycle();
            out.recycle();
            return served;
        }
        mem::swap(&mut self.batch, out);
        served
    }

    fn serve(&mut self, key: StreamKey, stream: &mut Stream) {
        let limit = self.batch.len().saturating_add(TURN);
        while self.batch.len() < limit {
            let before = stream.outbox.bytes();
            let Some(queued) = stream.outbox.pop() else { return };
            self.queued = self.queued.saturating_sub(before.saturating_sub(stream.outbox.bytes()));
            let put = match queued {
                Queued::Data(payload) => self.put_data(stream, &Payload::Owned(payload)),
                Queued::Frame(frame) => self.batch.put(|out| {
                    out.extend_from_slice(&frame);
                    Ok(())
                }),
            };
            debug_assert!(put.is_ok(), "lengths were checked when the frame was queued");
        }
        if !stream.outbox.is_empty() {
            self.turns.push_back(key);
        }
    }

    fn put_data(&mut self, stream: &Stream, payload: &Payload<'_>) -> Result<(), EncodeError> {
        let bytes = payload.as_ref();
        match payload {
            Payload::Owned(owned) if bytes.len() >= LARGE => {
                self.batch.put(|out| stream.method.put_data(stream.id, bytes.len(), out))?;
                self.batch.push(owned.clone());
                Ok(())
            }
            _ => self.batch.put(|out| {
                stream.method.put_data(stream.id, bytes.len(), out)?;
                out.extend_from_slice(bytes);
                Ok(())
            }),
        }
    }

    fn enqueue(&mut self, key: StreamKey, stream: &mut Stream, frame: Queued) {
        if stream.outbox.is_empty() {
            self.turns.push_back(key);
        }
        let before = stream.outbox.bytes();
        stream.outbox.push(frame);
        self.queued = self.queued.saturating_add(stream.outbox.bytes().saturating_sub(before));
    }
}

/// A message to send: borrowed ones are copied, owned ones only if they are small.
#[derive(Debug)]
pub enum Payload<'a> {
    /// Bytes of the caller's.
    Borrowed(&'a [u8]),
    /// Bytes that may be kept.
    Owned(Bytes),
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Payload<'_> {
    fn to_bytes(&self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Owned(bytes) => bytes.clone(),
        }
    }
}
