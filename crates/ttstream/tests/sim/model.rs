//! The invariants of one end of a stream: messages in order, one outcome, a wake for each wait. Knows the
//! results of commands, not how a connection works.

use std::task::Poll;

use bytes::Bytes;
use kerrors::{Error, Side, StreamError};
use ttstream::proto::StreamKey;

/// One end of a stream, as seen by its handle.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) side: Side,
    pub(crate) key: StreamKey,
    /// The number of messages that Send accepted.
    pub(crate) sent: u32,
    /// The number of messages that Recv returned.
    pub(crate) received: u32,
    /// The text of its outcome; empty for a clean end.
    pub(crate) outcome: Option<String>,
    /// Its own direction is closed: by a half close, or because the handler returned.
    pub(crate) closed: bool,
    pub(crate) released: bool,
    /// Incoming messages are discarded.
    pub(crate) discard_incoming: bool,
    /// Recv was pending, and not woken since.
    pub(crate) waits_recv: bool,
    pub(crate) waits_send: bool,
}

impl End {
    pub(crate) fn new(side: Side, key: StreamKey) -> Self {
        Self {
            side,
            key,
            sent: 0,
            received: 0,
            outcome: None,
            closed: false,
            released: false,
            discard_incoming: false,
            waits_recv: false,
            waits_send: false,
        }
    }

    /// Returns the next message to send: its number, then padding.
    pub(crate) fn message(&self, size: usize) -> Vec<u8> {
        let mut message = self.sent.to_be_bytes().to_vec();
        message.resize(size.max(4), 0);
        message
    }

    /// Checks that the first outcome stays.
    pub(crate) fn saw_outcome(&mut self, outcome: Option<Result<(), Error>>) {
        let outcome =
            outcome.map(|outcome| outcome.map_or_else(|error| error.to_string(), |()| String::new()));
        if let Some(before) = &self.outcome {
            assert_eq!(outcome.as_ref(), Some(before), "{self:?}: the first outcome stays");
        }
        self.outcome = outcome;
    }

    pub(crate) fn saw_send(&mut self, result: Result<bool, Error>) {
        match result {
            Ok(true) => {
                assert!(!self.closed && self.outcome.is_none(), "{self:?}: sent after its end");
                self.sent += 1;
            }
            Ok(false) => self.waits_send = true,
            Err(error) => self.saw_error(&error),
        }
    }

    /// Checks a result of Recv; returns whether it is a clean end.
    pub(crate) fn saw_recv(&mut self, result: Poll<Result<Option<Bytes>, Error>>) -> bool {
        let ready = !matches!(result, Poll::Pending);
        assert!(!(self.waits_recv && ready), "{self:?}: its Recv was not woken for {result:?}");
        match result {
            Poll::Pending => {
                assert_eq!(self.outcome, None, "{self:?}: waits after the end");
                self.waits_recv = true;
            }
            Poll::Ready(Ok(Some(message))) => {
                let number = u32::from_be_bytes(*message.first_chunk().expect("a number"));
                assert_eq!(number, self.received, "{self:?}: lost or reordered");
                self.received += 1;
            }
            Poll::Ready(Ok(None)) => return true,
            Poll::Ready(Err(error)) => {
                if !error.stream().is_some_and(StreamError::is_retryable) {
                    self.saw_error(&error);
                }
            }
        }
        false
    }

    /// Checks that Send and Recv return the outcome of the stream.
    fn saw_error(&self, error: &Error) {
        let text = error.to_string();
        match self.outcome.as_deref() {
            // A clean end and a half close have no errors.
            Some("") | None if self.closed || self.outcome.is_some() => {
                assert!(text.ends_with("stream is closed send"), "{self:?}: {text}");
            }
            outcome => assert_eq!(outcome, Some(&*text), "{self:?}"),
        }
    }
}
