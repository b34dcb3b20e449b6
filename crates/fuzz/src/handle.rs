//! One end of a stream as seen by its user: the results of commands, and which results are allowed next.
//! Knows no connection.

use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use kerrors::{Code, Error, RecvTimeout, StreamError};
use ttstream::proto::StreamKey;

use crate::check_text;

/// Messages that a peer has sent on a stream, and its end.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The number of times that the peer has opened the id.
    pub(crate) openings: u32,
    pub(crate) data: Vec<Bytes>,
    pub(crate) metas: usize,
    pub(crate) trailer: bool,
    pub(crate) reset: bool,
    /// Further frames are ignored.
    pub(crate) over: bool,
}

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) key: StreamKey,
    /// The number of this opening of the id by the peer.
    pub(crate) opening: u32,
    pub(crate) outcome: Option<Result<(), Error>>,
    /// The number of messages that Send accepted.
    pub(crate) sent: usize,
    /// The number of messages that Recv returned.
    pub(crate) received: usize,
    /// Its own direction has ended.
    pub(crate) closed: bool,
    /// Server: the handler has returned.
    pub(crate) finished: bool,
    pub(crate) released: bool,
    /// Received messages may have been dropped.
    pub(crate) discarded: bool,
    /// A header was set that may not be encodable.
    pub(crate) odd_header: bool,
    /// Recv was pending, and not woken since.
    pub(crate) waits_recv: bool,
    pub(crate) waits_header: bool,
    pub(crate) waits_send: bool,
    /// Recv has returned the clean end.
    pub(crate) at_end: bool,
    /// Server: the handler got the `Canceled` event.
    pub(crate) saw_canceled: bool,
    /// When the pending Recv times out.
    pub(crate) recv_until: Option<Instant>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) recv_timeout: Option<RecvTimeout>,
}

impl Handle {
    pub(crate) fn new(key: StreamKey, opening: u32) -> Self {
        Self {
            key,
            opening,
            outcome: None,
            sent: 0,
            received: 0,
            closed: false,
            finished: false,
            released: false,
            discarded: false,
            odd_header: false,
            waits_recv: false,
            waits_header: false,
            waits_send: false,
            at_end: false,
            saw_canceled: false,
            recv_until: None,
            deadline: None,
            recv_timeout: None,
        }
    }

    /// Checks that the first outcome stays.
    pub(crate) fn saw_outcome(&mut self, outcome: Option<Result<(), Error>>) {
        match (&self.outcome, &outcome) {
            (None, Some(Err(error))) => check_text(&error.to_string()),
            (None, None | Some(Ok(()))) | (Some(Ok(())), Some(Ok(()))) => {}
            (Some(Err(first)), Some(Err(now))) if is_same(first, now) => {}
            _ => panic!("{self:?}: the first outcome stays, not {outcome:?}"),
        }
        self.outcome = outcome;
    }

    pub(crate) fn saw_send(&mut self, answer: Result<bool, Error>) {
        match answer {
            Ok(true) => {
                assert!(!self.closed && self.outcome.is_none(), "{self:?}: sent after its end");
                self.sent += 1;
            }
            Ok(false) => {
                assert!(!self.closed && self.outcome.is_none(), "{self:?}: waits after its end");
                self.waits_send = true;
            }
            Err(error) => {
                let refused = error.code() == Some(Code::ILLEGAL_OPERATION);
                let expected = match &self.outcome {
                    Some(Err(outcome)) => is_same(&error, outcome),
                    Some(Ok(())) => refused,
                    None => refused && (self.closed || self.odd_header),
                };
                assert!(expected, "{self:?}: {error}");
            }
        }
    }

    /// Checks a result of Recv, on a stream that has received `taken`.
    pub(crate) fn saw_recv(
        &mut self,
        answer: Poll<Result<Option<Bytes>, Error>>,
        taken: &Taken,
        now: Instant,
    ) {
        let ready = answer.is_ready();
        assert!(!(self.waits_recv && ready), "{self:?}: its Recv was not woken for {answer:?}");
        match answer {
            Poll::Pending => {
                assert!(self.outcome.is_none() && !self.finished, "{self:?}: waits after the end");
                self.waits_recv = true;
                let until = self.recv_timeout.and_then(|config| now.checked_add(config.timeout));
                self.recv_until = self.recv_until.or(until);
            }
            Poll::Ready(Ok(Some(message))) => {
                assert_eq!(Some(&message), taken.data.get(self.received), "{self:?}: lost or reordered");
                self.received += 1;
            }
            Poll::Ready(Ok(None)) => {
                self.at_end = true;
                assert!(taken.trailer, "{self:?}: a clean end without a trailer");
                self.check_all_received(taken);
            }
            Poll::Ready(Err(error)) => self.saw_recv_error(&error, taken),
        }
        if ready {
            self.stopped_recv();
        }
    }

    fn saw_recv_error(&mut self, error: &Error, taken: &Taken) {
        if error.stream().is_some_and(StreamError::is_retryable) {
            assert_eq!(error.code(), Some(Code::RECV_TIMEOUT));
            return;
        }
        self.at_end = true;
        match &self.outcome {
            Some(Err(outcome)) => assert!(is_same(error, outcome), "{self:?}: {error}"),
            // A client may end its direction with an exception.
            None => {
                assert!(taken.trailer, "{self:?}: {error}");
                check_text(&error.to_string());
            }
            Some(Ok(())) => panic!("{self:?}: {error} after a clean end"),
        }
        self.check_all_received(taken);
    }

    /// Checks that messages come before errors, unless one side has canceled, or the messages of a slow consumer had to make
    /// room.
    fn check_all_received(&self, taken: &Taken) {
        let error = self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
        let is_slow = error.is_some_and(|error| error.code() == Some(Code::SLOW_CONSUMER));
        let is_beyond = error.and_then(Error::stream).is_some_and(is_beyond_credit);
        if !self.discarded && !taken.reset && !self.finished && !is_slow && !is_beyond {
            assert_eq!(self.received, taken.data.len(), "{self:?}: messages are lost");
        }
    }

    pub(crate) fn stopped_recv(&mut self) {
        (self.waits_recv, self.waits_header, self.recv_until) = (false, false, None);
    }
}

/// Compares errors by the properties that programs see.
fn is_same(one: &Error, other: &Error) -> bool {
    match (one, other) {
        (Error::Stream(one), Error::Stream(other)) => one == other,
        (Error::Biz(one), Error::Biz(other)) => one == other,
        (one, other) => panic!("unexpected errors of a stream: {one:?}, {other:?}"),
    }
}

/// Returns whether a stream has ended because its peer has sent more than was granted.
pub(crate) fn is_beyond_credit(error: &StreamError) -> bool {
    error.code() == Code::ILLEGAL_FRAME
        && error.to_string().ends_with("message beyond the credit of its stream")
}

/// Returns the stream error of an outcome.
pub(crate) fn stream_error(outcome: &Option<Result<(), Error>>) -> Option<&StreamError> {
    outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).and_then(Error::stream)
}
