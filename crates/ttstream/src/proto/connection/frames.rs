//! Frames to be written.

use ttheader_codec::{EncodeError, FrameType, Limits};

use super::super::event::Event;
use super::super::id::{StreamId, StreamKey};
use super::super::method::{Frame, Method};
use super::Connection;
use crate::Message;

impl Connection {
    /// Returns whether there is room to open a stream; if not, [`Event::Openable`] follows when there is.
    pub(in crate::proto) fn has_room(&mut self) -> bool {
        self.outbound.has_room()
    }

    /// Returns whether there is room for a message of the stream; if not, [`Event::Writable`] follows when
    /// there is.
    pub(in crate::proto) fn has_room_for(&mut self, key: StreamKey) -> bool {
        let Some(stream) = self.table.get_mut(key) else { return false };
        self.outbound.has_room_for(stream, self.credit.may_send(key))
    }

    /// Queues one message.
    pub(in crate::proto) fn write_data(
        &mut self,
        key: StreamKey,
        payload: &Message<'_>,
    ) -> Result<(), EncodeError> {
        let Some(stream) = self.table.get_mut(key) else { return Ok(()) };
        self.outbound.data(key, stream, payload)?;
        self.count_unsent();
        self.credit.count_sent(key, payload.as_ref().len());
        Ok(())
    }

    /// Queues a frame of the stream, unless the connection is closed.
    pub(in crate::proto) fn write(&mut self, key: StreamKey, frame: &Frame<'_>) -> Result<(), EncodeError> {
        let written = match self.table.get_mut(key) {
            Some(stream) if self.closed.is_none() => {
                self.outbound.frame(key, stream, frame, &self.config.limits)
            }
            _ => Ok(()),
        };
        self.count_unsent();
        written
    }

    /// As [`write`](Self::write), for a frame without which the peer's end of the stream would stay open: it
    /// is sent even if it exceeds the limits.
    #[cold]
    pub(in crate::proto) fn write_last(
        &mut self,
        key: StreamKey,
        frame: &Frame<'_>,
    ) -> Result<(), EncodeError> {
        match self.table.get_mut(key) {
            Some(stream) if self.closed.is_none() => self.outbound.frame(key, stream, frame, &Limits::FORMAT),
            _ => Ok(()),
        }
    }

    /// Server: queues the stream's header frame unless it was already sent. If it cannot be encoded, its strings are
    /// dropped, and it is still to be sent: a peer takes no message before it.
    pub(in crate::proto) fn write_header(&mut self, key: StreamKey) -> Result<(), EncodeError> {
        let header = self.table.get_mut(key).and_then(|stream| stream.send_mut().take_header());
        header.map_or(Ok(()), |header| {
            let written = self.write(key, &Frame::new(FrameType::Header, &header, &[]));
            if written.is_err() {
                self.stream_mut(key).into_iter().for_each(|stream| stream.send_mut().drop_header());
            }
            written
        })
    }

    /// Queues the frames of all streams for the next write, whatever its size: what is queued next follows them.
    #[cold]
    pub(in crate::proto) fn flush_streams(&mut self) {
        let served = self.outbound.flush(&mut self.table);
        self.wake_served(&served);
    }

    /// Wakes the senders of streams whose queued frames have had a turn, and forgets those whose last frame that was.
    #[cold]
    pub(super) fn wake_served(&mut self, served: &[StreamKey]) {
        for &key in served {
            if self.table.get_mut(key).is_some_and(|stream| self.outbound.wakes_sender(stream)) {
                self.events.push_back(Event::Writable(key));
            }
            self.forget(key);
        }
    }

    /// Queues a frame about the connection itself.
    pub(in crate::proto) fn notice(&mut self, method: &Method, frame: &Frame<'_>) {
        self.outbound.notice(method, frame);
    }

    /// Queues a frame for an unknown stream.
    pub(in crate::proto) fn reply(&mut self, id: StreamId, method: &Method, frame: &Frame<'_>) {
        self.outbound.reply(id, method, frame);
    }

    /// Drops the frames that the stream has queued.
    pub(in crate::proto) fn purge(&mut self, key: StreamKey) {
        if let Some(stream) = self.table.get_mut(key) {
            self.outbound.purge(stream);
            self.count_unsent();
        }
    }
}
