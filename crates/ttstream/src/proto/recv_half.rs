//! What one stream receives: messages that were not yet taken, header and trailer of the peer, and the
//! Recv that waits. Every change of what is held is reported to the connection's [`RecvFlow`].

use std::mem;
use std::time::Instant;

use bytes::Bytes;
use kerrors::RecvTimeout;

use super::queue::Queue;
use super::recv_flow::{Blocking, RecvFlow};
use crate::Metadata;
use crate::Traffic;

#[derive(Debug)]
pub(super) struct RecvHalf {
    messages: Queue<Bytes>,
    received: Traffic,
    /// Strings of the frame with which the peer opened or answered the stream.
    header: Option<Metadata>,
    /// Strings of the frame with which the peer ended its direction.
    trailer: Option<Metadata>,
    /// `None` if a Recv may wait for as long as the stream lives.
    timeout: Option<Box<Timeout>>,
    blocking: Blocking,
    /// A Recv waits, or a task that wants the header.
    waiting: bool,
    /// What arrives is dropped.
    discard: bool,
}

/// The limit of each Recv, and the one in progress.
#[derive(Debug)]
struct Timeout {
    config: RecvTimeout,
    /// Until when the Recv in progress may wait.
    until: Option<Instant>,
    /// A Recv that leaves the stream usable has timed out and has not returned yet.
    expired: bool,
}

impl RecvHalf {
    #[inline]
    pub(super) fn new(header: Option<Metadata>, timeout: Option<RecvTimeout>) -> Self {
        Self {
            messages: Queue::default(),
            received: Traffic::default(),
            header,
            trailer: None,
            timeout: timeout.map(|config| Box::new(Timeout { config, until: None, expired: false })),
            blocking: Blocking::default(),
            waiting: false,
            discard: false,
        }
    }

    /// Returns the messages that were received, taken or not.
    pub(super) fn received(&self) -> Traffic {
        self.received
    }

    /// Returns the bytes that are held, each message charged at least 256.
    pub(super) fn bytes(&self) -> usize {
        self.messages.bytes()
    }

    /// Whether the stream is live and at its window.
    pub(super) fn is_blocking(&self) -> bool {
        self.blocking.get()
    }

    /// Whether what arrives is dropped.
    pub(super) fn discards(&self) -> bool {
        self.discard
    }

    pub(super) fn push(&mut self, message: Bytes, flow: &mut RecvFlow) {
        self.received.count(message.len());
        let charge = self.messages.push(message);
        flow.charge(charge, self.messages.bytes(), &mut self.blocking);
    }

    pub(super) fn pop(&mut self, flow: &mut RecvFlow) -> Option<Bytes> {
        let (message, charge) = self.messages.pop()?;
        flow.credit(charge, self.messages.bytes(), &mut self.blocking);
        Some(message)
    }

    /// Drops the messages that are held.
    pub(super) fn clear(&mut self, flow: &mut RecvFlow) {
        let charge = self.messages.clear();
        flow.credit(charge, 0, &mut self.blocking);
    }

    /// Drops the messages that are held and all that arrive.
    pub(super) fn discard_incoming(&mut self, flow: &mut RecvFlow) {
        self.clear(flow);
        self.discard = true;
    }

    /// The stream has ended: it receives nothing more, so it blocks nothing. Returns when the timer of the
    /// Recv in progress was armed for.
    pub(super) fn end(&mut self, flow: &mut RecvFlow) -> Option<Instant> {
        flow.unblock(&mut self.blocking);
        self.timeout.as_mut().and_then(|timeout| timeout.until.take())
    }

    /// Returns the header, if it has arrived.
    pub(super) fn header(&self) -> Option<&Metadata> {
        self.header.as_ref()
    }

    /// Keeps the header. Returns `false`, and changes nothing, if there is one.
    pub(super) fn set_header(&mut self, header: impl FnOnce() -> Metadata) -> bool {
        let first = self.header.is_none();
        if first {
            self.header = Some(header());
        }
        first
    }

    /// Returns the header and keeps an empty one.
    pub(super) fn take_header(&mut self) -> Option<Metadata> {
        self.header.as_mut().map(mem::take)
    }

    pub(super) fn trailer(&self) -> Option<&Metadata> {
        self.trailer.as_ref()
    }

    pub(super) fn set_trailer(&mut self, trailer: Metadata) {
        self.trailer = Some(trailer);
    }

    /// A task waits for something to arrive, without a limit.
    pub(super) fn wait(&mut self) {
        self.waiting = true;
    }

    /// A Recv waits. Returns when it times out, if a timer is to be armed for it.
    pub(super) fn wait_with_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.waiting = true;
        let timeout = self.timeout.as_deref_mut().filter(|timeout| timeout.until.is_none())?;
        timeout.until = now.checked_add(timeout.config.timeout);
        timeout.until
    }

    /// The Recv in progress is over. Returns when its timer was armed for.
    pub(super) fn stop_waiting(&mut self) -> Option<Instant> {
        self.waiting = false;
        let timeout = self.timeout.as_deref_mut()?;
        timeout.expired = false;
        timeout.until.take()
    }

    /// Returns whether a task waits. It is woken now, so the next call returns `false`.
    pub(super) fn take_waiting(&mut self) -> bool {
        mem::take(&mut self.waiting)
    }

    /// Returns the limit of each Recv.
    pub(super) fn timeout(&self) -> Option<RecvTimeout> {
        self.timeout.as_ref().map(|timeout| timeout.config)
    }

    /// The timer of the Recv in progress has fired. Returns its limit unless a message has arrived, which
    /// the Recv will return though its task has not run yet.
    pub(super) fn timer_fired(&mut self) -> Option<RecvTimeout> {
        let timeout = self.timeout.as_deref_mut()?;
        timeout.until = None;
        (self.messages.bytes() == 0).then_some(timeout.config)
    }

    /// The Recv in progress is to return that it has timed out.
    pub(super) fn expire(&mut self) {
        if let Some(timeout) = &mut self.timeout {
            timeout.expired = true;
        }
    }

    /// Returns whether the Recv in progress has timed out; once.
    pub(super) fn take_expired(&mut self) -> bool {
        self.timeout.as_mut().is_some_and(|timeout| mem::take(&mut timeout.expired))
    }
}
