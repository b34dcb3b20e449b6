//! The receiving half of a stream: messages that were not yet taken, header and trailer of the peer, and the
//! pending Recv. Every change of the held bytes is reported to the connection's flow control, [`RecvFlow`].

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
    /// Strings of the peer's header frame.
    header: Option<Metadata>,
    /// Strings of the peer's trailer frame.
    trailer: Option<Metadata>,
    /// `None` without a Recv timeout.
    timeout: Option<Box<Timeout>>,
    blocking: Blocking,
    /// A Recv is pending, or a wait for the header.
    waiting: bool,
    /// Incoming messages are dropped.
    discard: bool,
}

/// The timeout of each Recv, and the pending Recv.
#[derive(Debug)]
struct Timeout {
    config: RecvTimeout,
    /// When the pending Recv times out.
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

    /// Returns the number of messages received, taken or not.
    pub(super) fn received(&self) -> Traffic {
        self.received
    }

    /// Returns the number of bytes held, each message charged at least 256.
    pub(super) fn bytes(&self) -> usize {
        self.messages.bytes()
    }

    /// Returns whether the stream is live and at its window.
    pub(super) fn is_blocking(&self) -> bool {
        self.blocking.get()
    }

    pub(super) fn blocking_mut(&mut self) -> &mut Blocking {
        &mut self.blocking
    }

    /// Returns whether incoming messages are dropped.
    pub(super) fn discards(&self) -> bool {
        self.discard
    }

    pub(super) fn push(&mut self, message: Bytes, flow: &mut RecvFlow) {
        self.received.count(message.len());
        let charge = self.messages.push(message);
        flow.charge(charge, self.messages.bytes(), &mut self.blocking);
    }

    #[inline]
    pub(super) fn pop(&mut self, flow: &mut RecvFlow) -> Option<Bytes> {
        let (message, charge) = self.messages.pop()?;
        flow.credit(charge, self.messages.bytes(), &mut self.blocking);
        Some(message)
    }

    /// Drops the held messages.
    pub(super) fn clear(&mut self, flow: &mut RecvFlow) {
        let charge = self.messages.clear();
        flow.credit(charge, 0, &mut self.blocking);
    }

    /// Drops the held messages and all further ones.
    pub(super) fn discard_incoming(&mut self, flow: &mut RecvFlow) {
        self.clear(flow);
        self.discard = true;
    }

    /// Ends the half: it receives nothing more, so it does not block the connection. Returns when the timer
    /// of the pending Recv was armed for.
    pub(super) fn end(&mut self, flow: &mut RecvFlow) -> Option<Instant> {
        flow.end(&mut self.blocking);
        self.timeout.as_mut().and_then(|timeout| timeout.until.take())
    }

    /// Returns the header, if it has arrived.
    pub(super) fn header(&self) -> Option<&Metadata> {
        self.header.as_ref()
    }

    /// Sets the header. Returns `false`, and changes nothing, if there is one.
    pub(super) fn set_header(&mut self, header: impl FnOnce() -> Metadata) -> bool {
        let first = self.header.is_none();
        if first {
            self.header = Some(header());
        }
        first
    }

    /// Returns the header and leaves an empty one.
    pub(super) fn take_header(&mut self) -> Option<Metadata> {
        self.header.as_mut().map(mem::take)
    }

    pub(super) fn trailer(&self) -> Option<&Metadata> {
        self.trailer.as_ref()
    }

    pub(super) fn set_trailer(&mut self, trailer: Metadata) {
        self.trailer = Some(trailer);
    }

    /// Records that a task waits for a change, without a timeout.
    pub(super) fn wait(&mut self) {
        self.waiting = true;
    }

    /// Records a pending Recv. Returns when it times out, if a timer is to be armed for it.
    pub(super) fn wait_with_timeout(&mut self, now: Instant) -> Option<Instant> {
        self.waiting = true;
        let timeout = self.timeout.as_deref_mut().filter(|timeout| timeout.until.is_none())?;
        timeout.until = now.checked_add(timeout.config.timeout);
        timeout.until
    }

    /// Ends the pending Recv. Returns when its timer was armed for.
    pub(super) fn stop_waiting(&mut self) -> Option<Instant> {
        self.waiting = false;
        let timeout = self.timeout.as_deref_mut()?;
        timeout.expired = false;
        timeout.until.take()
    }

    /// Returns whether a task waits, which is then woken: the next call returns `false`.
    pub(super) fn take_waiting(&mut self) -> bool {
        mem::take(&mut self.waiting)
    }

    /// Returns the timeout of each Recv.
    pub(super) fn timeout(&self) -> Option<RecvTimeout> {
        self.timeout.as_ref().map(|timeout| timeout.config)
    }

    /// Records that the timer of the pending Recv has fired. Returns its timeout, unless a message has
    /// arrived, which the Recv will return when its task runs.
    pub(super) fn timer_fired(&mut self) -> Option<RecvTimeout> {
        let timeout = self.timeout.as_deref_mut()?;
        timeout.until = None;
        (self.messages.bytes() == 0).then_some(timeout.config)
    }

    /// Makes the pending Recv return its timeout.
    pub(super) fn expire(&mut self) {
        if let Some(timeout) = &mut self.timeout {
            timeout.expired = true;
        }
    }

    /// Returns whether the pending Recv has timed out; once.
    pub(super) fn take_expired(&mut self) -> bool {
        self.timeout.as_mut().is_some_and(|timeout| mem::take(&mut timeout.expired))
    }
}
