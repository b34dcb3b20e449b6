//! One end of a stream as its user sees it: what verbs answered, and what may be answered next. Knows no
//! connection.

use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use kerrors::{Code, Error, RecvTimeout, StreamError};
use ttstream::proto::StreamKey;

use crate::check_text;

/// Messages that a peer has sent on a stream, and how it went on.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// How often the peer has opened the id.
    pub(crate) openings: u32,
    pub(crate) data: Vec<Bytes>,
    pub(crate) metas: usize,
    pub(crate) trailer: bool,
    pub(crate) reset: bool,
    /// What comes now is for nobody.
    pub(crate) over: bool,
}

/// One end of a stream.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) key: StreamKey,
    /// Which opening of the id by the peer this is.
    pub(crate) opening: u32,
    pub(crate) outcome: Option<Result<(), Error>>,
    /// Messages that Send took.
    pub(crate) sent: usize,
    /// Messages that Recv gave.
    pub(crate) received: usize,
    /// Its own direction has ended.
    pub(crate) closed: bool,
    /// Server: the handler has returned.
    pub(crate) finished: bool,
    pub(crate) released: bool,
    /// What had arrived may have been dropped.
    pub(crate) discarded: bool,
    /// A header was set that cannot be encoded, perhaps.
    pub(crate) odd_header: bool,
    /// Told to wait, and not woken since.
    pub(crate) waits_recv: bool,
    pub(crate) waits_header: bool,
    pub(crate) waits_send: bool,
    /// Recv has said that nothing comes any more.
    pub(crate) at_end: bool,
    /// Server: the handler was told that its stream has ended under it.
    pub(crate) told: bool,
    /// Until when the Recv that is under way may wait.
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
            told: false,
            recv_until: None,
            deadline: None,
            recv_timeout: None,
        }
    }

    /// The outcome is what it was, if it was there.
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

    /// Recv has answered, on a stream that has taken `taken`.
    pub(crate) fn saw_recv(
        &mut self,
        answer: Poll<Result<Option<Bytes>, Error>>,
        taken: &Taken,
        now: Instant,
    ) {
        let ready = answer.is_ready();
        assert!(!(self.waits_recv && ready), "{self:?}: nobody woke its Recv for {answer:?}");
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

    /// Messages come before errors, unless somebody here or there has canceled.
    fn check_all_received(&self, taken: &Taken) {
        if !self.discarded && !taken.reset && !self.finished {
            assert_eq!(self.received, taken.data.len(), "{self:?}: messages are lost");
        }
    }

    pub(crate) fn stopped_recv(&mut self) {
        (self.waits_recv, self.waits_header, self.recv_until) = (false, false, None);
    }
}

/// Errors compared by what programs see of them.
fn is_same(one: &Error, other: &Error) -> bool {
    match (one, other) {
        (Error::Stream(one), Error::Stream(other)) => one == other,
        (Error::Biz(one), Error::Biz(other)) => one == other,
        (one, other) => panic!("no stream ends with this: {one:?}, {other:?}"),
    }
}

/// The stream error of an outcome.
pub(crate) fn stream_error(outcome: &Option<Result<(), Error>>) -> Option<&StreamError> {
    outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).and_then(Error::stream)
}
