//! What waits to be written: one batch that leaves with the next write, and behind it the streams that
//! have more, each in its turn. Owns the order of frames on the wire and the bounds of what waits.
//!
//! A frame joins the batch at once while the batch is small and no stream has anything queued: every
//! frame, as long as the socket keeps up. When it does not, data waits at its stream, and an Rst
//! overtakes it: it joins the batch, and what its stream had queued is dropped.

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

/// Bytes that one write should have. Beyond them data waits at its stream.
pub(crate) const BATCH: usize = 64 * 1024;
/// Bytes that a stream may add in its turn.
const TURN: usize = 16 * 1024;
/// Payloads from this size on are not copied.
const LARGE: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Outbound {
    /// Bytes of a frame that the peer is assumed to take: a longer one is refused, as an error of its call.
    frame_len: usize,
    /// Bound of what one stream has queued.
    stream_buffer: usize,
    /// Bound of what waits in all.
    buffer: usize,
    batch: Transmit,
    /// Streams that have frames queued, each once.
    turns: VecDeque<StreamKey>,
    /// Bytes that all streams have queued.
    queued: usize,
    /// Frames in the batch that reply to protocol violations rather than serve a stream.
    replies: usize,
    /// The batch has an Rst in it.
    urgent: bool,
    /// An open or a Send waits until less than `buffer` waits in all.
    room_wanted: bool,
}

impl Outbound {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            frame_len: config.limits.frame_len,
            stream_buffer: config.stream_send_buffer,
            buffer: config.send_buffer,
            batch: Transmit::default(),
            turns: VecDeque::new(),
            queued: 0,
            replies: 0,
            urgent: false,
            room_wanted: false,
        }
    }

    /// Returns the bytes that wait, in the batch and at the streams.
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

    /// Returns whether there is room to open a stream. If not, [`take_room`](Self::take_room) says when.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.bytes() < self.buffer;
        self.room_wanted |= !room;
        room
    }

    /// Returns whether there is room for a message of `stream`. If not, a Send of the stream waits for it.
    pub(super) fn has_room_for(&mut self, stream: &mut Stream) -> bool {
        let room = self.has_room() && stream.send().queued_bytes() < self.stream_buffer;
        if !room {
            stream.send_mut().wait();
        }
        room
    }

    /// Returns whether there is room again that was wanted; once.
    pub(super) fn take_room(&mut self) -> bool {
        self.room_wanted && self.bytes() < self.buffer && mem::take(&mut self.room_wanted)
    }

    /// Returns whether a Send of `stream` is to be woken, now that the stream had a turn.
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

    /// Queues a frame behind what its stream has queued, if a peer with these limits takes it.
    pub(super) fn frame(
        &mut self,
        key: StreamKey,
        stream: &mut Stream,
        frame: &Frame<'_>,
        limits: &Limits,
    ) -> Result<(), EncodeError> {
        self.urgent |= frame.frame_type == FrameType::Rst;
        if stream.send().is_empty() {
            return self.batch.put(|out| stream.method().put_frame(stream.id(), frame, limits, out));
        }
        let mut encoded = BytesMut::new();
        stream.method().put_frame(stream.id(), frame, limits, &mut encoded)?;
        self.enqueue(key, stream, QueuedFrame::Encoded(encoded.freeze()));
        Ok(())
    }

    /// Queues a frame for a stream that is not there: a reply to a protocol violation.
    pub(super) fn reply(&mut self, id: StreamId, method: &Method, frame: &Frame<'_>) {
        self.replies = self.replies.saturating_add(1);
        // Never refused: its strings are bounded, and its text is far below the bound of a frame.
        let _ = self.batch.put(|out| method.put_frame(id, frame, &Limits::FORMAT, out));
    }

    /// Drops what the stream has queued.
    pub(super) fn purge(&mut self, stream: &mut Stream) {
        self.queued = self.queued.saturating_sub(stream.send_mut().purge());
    }

    /// Moves the next batch to `out`, which must be empty. Returns the streams that had a turn.
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
