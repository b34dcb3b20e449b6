//! Data to be written, with backpressure: one batch for the next write, and the streams that have more
//! queued, which are served round-robin. Owns the order of frames on the wire and the bounds of queued data.
//!
//! A frame is appended to the batch at once while the batch is small and no stream has anything queued: every
//! frame, as long as the socket keeps up. When it does not, data is queued at its stream, and an Rst
//! overtakes it: it is appended to the batch, and the data that its stream had queued is dropped.

use std::collections::VecDeque;
use std::mem;

use bytes::BytesMut;
use ttheader_codec::{EncodeError, FrameType, Limits};

use super::config::Config;
use super::id::{StreamId, StreamKey};
use super::method::{Frame, Method};
use super::send_half::QueuedFrame;
use super::stream::Stream;
use super::table::Table;
use super::transmit::Transmit;
use crate::Message;

/// The target size of one write, in bytes. Beyond it data is queued at its stream.
pub(crate) const BATCH: usize = 64 * 1024;
/// The number of bytes that a stream may add in its turn.
const TURN: usize = 16 * 1024;
/// Payloads from this size on are not copied.
const LARGE: usize = 16 * 1024;

/// The id of a frame that is about no stream.
const CONNECTION: i32 = 0;

#[derive(Debug)]
pub(super) struct Outbound {
    /// The largest frame that the peer is assumed to accept: a longer one is refused, as an error of its
    /// call.
    frame_len: usize,
    /// The bound of the bytes that one stream has queued.
    stream_buffer: usize,
    /// The bound of all queued bytes.
    buffer: usize,
    batch: Transmit,
    /// The bytes of all batches before it.
    given: u64,
    /// Streams that have frames queued, each once.
    turns: VecDeque<StreamKey>,
    /// Bytes that all streams have queued.
    queued: usize,
    /// Bytes of the batch that was taken last: they are kept until the next one is taken.
    taken: usize,
    /// Frames in the batch that reply to protocol violations rather than serve a stream.
    replies: usize,
    /// Bytes in the batch of frames other than data.
    control: usize,
    /// The batch has an Rst in it.
    urgent: bool,
    /// An open or a Send waits until less than `buffer` is queued in total.
    room_wanted: bool,
}

impl Outbound {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            frame_len: config.limits.frame_len,
            stream_buffer: config.stream_send_buffer,
            buffer: config.send_buffer,
            batch: Transmit::default(),
            given: 0,
            turns: VecDeque::new(),
            queued: 0,
            taken: 0,
            replies: 0,
            control: 0,
            urgent: false,
            room_wanted: false,
        }
    }

    /// Returns the number of queued bytes, in the batch and at the streams.
    pub(super) fn bytes(&self) -> usize {
        self.batch.len().saturating_add(self.queued)
    }

    /// Returns the number of bytes that streams have queued.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Returns the number of bytes that wait to be written, with those of the batch that is being written.
    pub(super) fn unsent(&self) -> usize {
        self.bytes().saturating_add(self.taken)
    }

    /// Returns how many bytes were given to the byte stream: those of every batch that was taken.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Returns where the batch ends among all bytes of the connection.
    pub(super) fn end(&self) -> u64 {
        self.given.saturating_add(self.batch.len() as u64)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.turns.is_empty()
    }

    pub(super) fn replies(&self) -> usize {
        self.replies
    }

    pub(super) fn control(&self) -> usize {
        self.control
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Returns whether there is room to open a stream. If not, [`take_room`](Self::take_room) reports when
    /// there is.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.bytes() < self.buffer;
        self.room_wanted |= !room;
        room
    }

    /// Returns whether there is room for a message of `stream`, which has `credit` at the peer. If not, a Send of the stream
    /// waits for it.
    pub(super) fn has_room_for(&mut self, stream: &mut Stream, credit: bool) -> bool {
        let room = credit && self.has_room() && stream.send().queued_bytes() < self.stream_buffer;
        if !room {
            stream.send_mut().wait();
        }
        room
    }

    /// Returns whether there is room again for a waiting open or Send; once.
    pub(super) fn take_room(&mut self) -> bool {
        self.room_wanted && self.bytes() < self.buffer && mem::take(&mut self.room_wanted)
    }

    /// Returns whether a Send of `stream` is to be woken after the stream's turn.
    pub(super) fn wakes_sender(&self, stream: &mut Stream) -> bool {
        stream.send().queued_bytes() <= self.stream_buffer / 2 && stream.send_mut().take_waiting()
    }

    /// Queues one message.
    pub(super) fn data(
        &mut self,
        key: StreamKey,
        stream: &mut Stream,
        payload: &Message<'_>,
    ) -> Result<(), EncodeError> {
        // Checked here even if the frame is encoded later, so that a queued frame cannot fail.
        let len = payload.as_ref().len();
        stream.method().check_data(len, self.frame_len)?;
        stream.send_mut().count(len);
        // Streams that wait for their turn go first.
        if self.batch.len() < BATCH && self.turns.is_empty() {
            return self.put_data(stream, payload);
        }
        self.enqueue(key, stream, QueuedFrame::Data(payload.to_bytes()));
        Ok(())
    }

    /// Queues a frame behind the stream's queued frames, if a peer with these limits accepts it.
    pub(super) fn frame(
        &mut self,
        key: StreamKey,
        stream: &mut Stream,
        frame: &Frame<'_>,
        limits: &Limits,
    ) -> Result<(), EncodeError> {
        self.urgent |= frame.frame_type == FrameType::Rst;
        if stream.send().is_empty() {
            return self.put_control(|out| stream.method().put_frame(stream.id().get(), frame, limits, out));
        }
        let mut encoded = BytesMut::new();
        stream.method().put_frame(stream.id().get(), frame, limits, &mut encoded)?;
        self.enqueue(key, stream, QueuedFrame::Encoded(encoded.freeze()));
        Ok(())
    }

    /// Queues a frame for an unknown stream: a reply to a protocol violation.
    pub(super) fn reply(&mut self, id: StreamId, method: &Method, frame: &Frame<'_>) {
        self.replies = self.replies.saturating_add(1);
        // Never fails: its strings are bounded, and its text is far below the limit of a frame.
        let _ = self.put_control(|out| method.put_frame(id.get(), frame, &Limits::FORMAT, out));
    }

    /// Queues a frame about the connection itself.
    pub(super) fn notice(&mut self, method: &Method, frame: &Frame<'_>) {
        // Never refused: it is short.
        let _ = self.put_control(|out| method.put_frame(CONNECTION, frame, &Limits::FORMAT, out));
    }

    /// Appends a frame that is not data to the batch.
    pub(super) fn put_control(
        &mut self,
        put: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let before = self.batch.len();
        self.batch.put(put)?;
        self.control = self.control.saturating_add(self.batch.len().saturating_sub(before));
        Ok(())
    }

    /// Drops the stream's queued frames.
    pub(super) fn purge(&mut self, stream: &mut Stream) {
        self.queued = self.queued.saturating_sub(stream.send_mut().purge());
    }

    /// Moves all queued frames to the batch, whatever its size. Returns the streams that had a turn.
    #[cold]
    pub(super) fn flush(&mut self, table: &mut Table) -> Vec<StreamKey> {
        let mut served = Vec::new();
        while self.serve_next(table, &mut served) {}
        served
    }

    /// Moves the next batch to `out`, which must be empty. Returns the streams that had a turn.
    pub(super) fn take(&mut self, table: &mut Table, out: &mut Transmit) -> Vec<StreamKey> {
        let mut served = Vec::new();
        while self.batch.len() < BATCH && self.serve_next(table, &mut served) {}
        self.taken = self.batch.len();
        self.replies = 0;
        self.control = 0;
        self.urgent = false;
        if self.batch.is_empty() {
            self.batch.recycle();
            out.recycle();
            return served;
        }
        self.given = self.end();
        mem::swap(&mut self.batch, out);
        served
    }

    /// Gives the next stream its turn, and adds it to `served`. Returns `false` if no stream has frames queued.
    #[inline]
    fn serve_next(&mut self, table: &mut Table, served: &mut Vec<StreamKey>) -> bool {
        let Some(key) = self.turns.pop_front() else { return false };
        if let Some(stream) = table.get_mut(key) {
            self.serve(key, stream);
            served.push(key);
        }
        true
    }

    fn serve(&mut self, key: StreamKey, stream: &mut Stream) {
        let limit = self.batch.len().saturating_add(TURN);
        while self.batch.len() < limit {
            let Some((queued, charge)) = stream.send_mut().pop() else { return };
            self.queued = self.queued.saturating_sub(charge);
            let put = match queued {
                QueuedFrame::Data(payload) => self.put_data(stream, &Message::Owned(payload)),
                QueuedFrame::Encoded(frame) => self.batch.put(|out| {
                    out.extend_from_slice(&frame);
                    Ok(())
                }),
            };
            debug_assert!(put.is_ok(), "lengths were checked when the frame was queued");
        }
        if !stream.send().is_empty() {
            self.turns.push_back(key);
        }
    }

    fn put_data(&mut self, stream: &Stream, payload: &Message<'_>) -> Result<(), EncodeError> {
        let bytes = payload.as_ref();
        match payload {
            Message::Owned(owned) if bytes.len() >= LARGE => {
                self.batch.put(|out| stream.method().put_data(stream.id(), bytes.len(), out))?;
                self.batch.push(owned.clone());
                Ok(())
            }
            _ => self.batch.put(|out| {
                stream.method().put_data(stream.id(), bytes.len(), out)?;
                out.extend_from_slice(bytes);
                Ok(())
            }),
        }
    }

    fn enqueue(&mut self, key: StreamKey, stream: &mut Stream, frame: QueuedFrame) {
        if stream.send().is_empty() {
            self.turns.push_back(key);
        }
        self.queued = self.queued.saturating_add(stream.send_mut().push(frame));
    }
}
