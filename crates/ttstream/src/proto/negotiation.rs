//! The negotiation of flow control by credits, and what the peer grants: the meaning of an offer and of the meta frames of
//! stream 0. Its order is in [`credit`](super::credit).

use std::time::Instant;

use kerrors::{Code, StreamError};
use ttheader_codec::{Header, key};

use super::connection::Connection;
use super::credit::{Effect, grants_of, window_of};
use super::error::ConnectionError;
use super::id::StreamKey;
use super::violations::Violation;

impl Connection {
    /// Server: accepts the offer in a client's header frame, if there is one. The client may have sent more than the window
    /// of a stream before it gets the answer, so that no stream pauses the connection until then.
    #[inline]
    pub(super) fn handle_offer(&mut self, header: &Header<'_>) {
        if self.credit_mut().takes_offer() && header.int(key::FLOW_CREDITS).and_then(window_of).is_some() {
            self.credit_mut().accept();
            self.begin_grants();
        }
    }

    /// Handles a meta frame of stream 0. Returns whether it is one of credits that is expected here.
    ///
    /// # Errors
    /// There are too many of them.
    pub(super) fn handle_credit(
        &mut self,
        header: &Header<'_>,
        payload: &[u8],
        now: Instant,
    ) -> Result<bool, ConnectionError> {
        let Some(window) = header.int(key::FLOW_CREDITS).and_then(window_of) else { return Ok(false) };
        let Some(grants) = grants_of(payload) else { return Ok(false) };
        let side = self.side();
        match self.credit_mut().on_meta(side, payload.is_empty()) {
            Effect::Unexpected => return Ok(false),
            Effect::Limit => self.limit_sends(window),
            Effect::Grants => {}
        }
        for (id, bytes) in grants {
            if let Some(key) = self.find(id) {
                self.handle_grant(key, bytes);
            }
        }
        self.count_violation(Violation::Credit(header.frame_len()), now)?;
        Ok(true)
    }

    /// Sends within credit from now on, since the peer has shown that meta frames of stream 0 arrive. The frame of
    /// this end announces that to the peer, so it follows everything that was sent without regard to credit.
    fn limit_sends(&mut self, window: u32) {
        self.flush_streams();
        self.credit_mut().limit_sends(window);
        self.begin_grants();
    }

    fn begin_grants(&mut self) {
        self.end_blocking_by_streams();
        self.write_credit(None);
    }

    fn handle_grant(&mut self, key: StreamKey, bytes: u32) {
        self.credit_mut().receive_grant(key, bytes);
        self.wake_sender(key);
    }

    /// Counts a message that is not kept: its sender has counted it.
    pub(super) fn handle_dropped(&mut self, key: StreamKey, len: usize) {
        if self.credit().grants() {
            self.credit_mut().count_received(key, len);
            self.grant(key);
        }
    }

    /// Returns whether the peer sends on the stream though it knows that it may not.
    #[inline]
    pub(super) fn is_beyond_credit(&self, key: StreamKey) -> bool {
        self.credit().is_agreed() && self.credit().is_exhausted(key)
    }

    /// Ends the stream of a message beyond its credit.
    #[cold]
    pub(super) fn handle_excess(&mut self, key: StreamKey, now: Instant) -> Result<(), ConnectionError> {
        let error =
            StreamError::new(Code::ILLEGAL_FRAME).with_cause("message beyond the credit of its stream");
        self.end_at_fault(key, error);
        self.count_violation(Violation::Fault, now)
    }

    /// Client: the peer, or a relay in its place, has ended the stream. If it was a relay, the server may wait for credit:
    /// lets it send, so that it gets an Rst in turn.
    pub(super) fn release_credit(&mut self, key: StreamKey) {
        if self.credit().grants() && self.credit().is_exhausted(key) {
            let bytes = self.credit_mut().take_all(key);
            self.write_credit(Some((key.id(), bytes)));
        }
    }
}
