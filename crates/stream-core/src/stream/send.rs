//! The half of a stream that sends.

use std::sync::Arc;

use bytes::Bytes;
use kerrors::{Error, Side};

use super::Shared;
use crate::Metadata;
use crate::cancel::Reason;
use crate::observe::StreamInfo;
use crate::proto::Payload;

/// Sends messages. Clones send on the same stream, each message whole, in the order of the calls.
///
/// A client's stream is canceled when the last clone is dropped before [`close_send`](Self::close_send).
#[derive(Debug)]
#[must_use = "dropping the sender cancels a client's stream"]
pub struct SendStream {
    shared: Arc<Shared>,
}

impl SendStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Queues one message; waits while too much is queued. Cancel-safe: the message is queued whole or
    /// not at all.
    ///
    /// # Errors
    /// What the stream ended with; 12005 after [`close_send`](Self::close_send), or if the message is too
    /// large for a frame.
    pub async fn send(&self, message: &[u8]) -> Result<(), Error> {
        self.send_payload(&Payload::Borrowed(message)).await
    }

    /// As [`send`](Self::send); a large message is not copied.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_bytes(&self, message: Bytes) -> Result<(), Error> {
        self.send_payload(&Payload::Owned(message)).await
    }

    async fn send_payload(&self, payload: &Payload<'_>) -> Result<(), Error> {
        let Shared { link, key, info, observers, send_timeout, .. } = &*self.shared;
        let queue = || std::future::poll_fn(|cx| link.poll_send(cx, *key, payload));
        let sent = match send_timeout {
            None => queue().await,
            Some(timeout) => match tokio::time::timeout(*timeout, queue()).await {
                Ok(sent) => sent,
                Err(_) => {
                    link.with(|connection| connection.handle_send_timeout(*key, *timeout));
                    queue().await
                }
            },
        };
        // An end that is found here is told by Recv, behind the messages that came before it, or by the drop.
        if sent.is_ok() {
            observers.iter().for_each(|observer| observer.sent(info, payload.as_ref().len()));
        }
        sent
    }

    /// Client: says that nothing more will be sent.
    pub fn close_send(&self) {
        self.shared.link.with(|connection| connection.close_send(self.shared.key));
    }

    /// What is known of the stream from its beginning on.
    pub fn info(&self) -> &StreamInfo {
        self.shared.info()
    }

    /// Calls `callback` once when the stream has ended, with what went wrong: a client's when its handles
    /// learn of the end, a server's when its handler has returned.
    pub fn on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
        self.shared.add_on_close(Box::new(callback));
    }

    /// Client: ends the stream here, at once, and at the peer. Does nothing if it has ended.
    pub fn cancel(&self, reason: &Reason) {
        self.shared.cancel(reason);
    }

    /// Server: adds to the header of the answer, which leaves with the first message. `false` if it has
    /// left.
    pub fn set_header(&self, header: &Metadata) -> bool {
        self.shared.link.with(|connection| connection.set_header(self.shared.key, header))
    }

    /// Server: sends the header of the answer now, if it has not left.
    ///
    /// # Errors
    /// What the stream ended with; 12005 if the header is too large.
    pub fn send_header(&self) -> Result<(), Error> {
        self.shared.link.with(|connection| connection.send_header(self.shared.key))
    }
}

impl Clone for SendStream {
    fn clone(&self) -> Self {
        self.shared.add_sender();
        Self::new(self.shared.clone())
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.shared.remove_sender() && self.shared.info.side == Side::Client {
            self.shared.link.with(|connection| connection.abandon_send(self.shared.key));
        }
    }
}
