//! Messages of one stream that wait for the connection's task, which passes them to h2. Together they take one frame, and
//! one lock of h2, which it holds while it writes to the socket.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::SendStream;

use crate::held::{Memory, Unsent};
use crate::message::Encoded;
use crate::wake::SendWaker;

/// Backpressure: bytes of the messages of a stream that wait before Send waits.
const MAX_PENDING: usize = 32 * 1024;

/// Messages of one stream that wait for the connection's task.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    messages: BytesMut,
    /// What h2 has of those before. `None` before there was anything to count.
    unsent: Option<Arc<Unsent>>,
}

/// This direction of the stream has ended.
pub(crate) struct Ended;

impl Pending {
    /// Returns whether Send has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.messages.len() >= MAX_PENDING
    }

    /// Appends a message. Returns whether it is the first: the connection's task has to be woken.
    #[must_use]
    pub(crate) fn put(&mut self, message: &Encoded<'_>) -> bool {
        let is_first = self.messages.is_empty();
        // A message that comes alone takes what it needs. With the second one there is room for all that may follow.
        let room = if is_first { 0 } else { MAX_PENDING.saturating_sub(self.messages.len()) };
        self.messages.reserve(room.saturating_add(message.len()));
        message.put_to(&mut self.messages);
        is_first
    }

    /// Returns the bytes of the messages.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns the bytes that were passed to h2, and that it has not written.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.bytes())
    }

    /// Drops the messages.
    pub(crate) fn clear(&mut self) {
        self.messages = BytesMut::new();
    }

    /// Passes the messages to h2, which keeps them until the peer's flow control windows have room: to be called before the
    /// end of this direction.
    pub(crate) fn send(&mut self, send: &mut SendStream<Bytes>, memory: &Memory) {
        if !self.messages.is_empty() {
            let messages = memory.count_unsent(&mut self.unsent, mem::take(&mut self.messages));
            // Fails if the stream was reset, which the connection's task finds.
            let _ = send.send_data(messages, false);
        }
    }

    /// Passes the messages to h2, if the peer's flow control windows have room for a byte. So at most [`MAX_PENDING`]
    /// bytes, or one message, are queued beyond them. To be called by the connection's task, which is woken when there
    /// is room. Returns whether none are left, so that senders have to be woken.
    ///
    /// # Errors
    /// This direction has ended.
    pub(crate) fn flush(
        &mut self,
        send: &mut SendStream<Bytes>,
        waker: &Arc<SendWaker>,
        memory: &Memory,
    ) -> Result<bool, Ended> {
        if self.messages.is_empty() {
            return Ok(true);
        }
        send.reserve_capacity(1);
        if send.capacity() == 0 && poll_capacity(send, waker)?.is_pending() {
            memory.note_blocked();
            return Ok(false);
        }
        self.send(send, memory);
        Ok(true)
    }
}

fn poll_capacity(send: &mut SendStream<Bytes>, waker: &Arc<SendWaker>) -> Result<Poll<()>, Ended> {
    let waker = Waker::from(waker.clone());
    loop {
        match send.poll_capacity(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(Ok(0))) => {}
            Poll::Ready(Some(Ok(_))) => return Ok(Poll::Ready(())),
            Poll::Ready(Some(Err(_)) | None) => return Err(Ended),
            Poll::Pending => return Ok(Poll::Pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::encode;

    #[test]
    fn messages_that_wait_together_grow_their_buffer_once() {
        for len in [0, 100, 1_024, 20_000] {
            let payload = vec![7; len];
            let message = encode(&payload, 1 << 20, None).unwrap();
            let mut pending = Pending::default();
            assert!(pending.put(&message), "the first");
            let alone = pending.messages.capacity();
            assert!(alone < 2 * message.len() + 64, "{alone} for a message that comes alone");
            let mut capacities = Vec::new();
            while !pending.is_full() {
                assert!(!pending.put(&message));
                capacities.push(pending.messages.capacity());
            }
            capacities.dedup();
            let most = 2 * (MAX_PENDING + message.len());
            assert!(matches!(capacities[..], [grown] if grown < most), "{len}: {capacities:?}");
        }
    }
}
