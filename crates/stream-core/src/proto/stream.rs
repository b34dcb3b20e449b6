//! One stream: its state, what has arrived for it, what waits to leave. Knows nothing of other streams;
//! what a transition means for the connection is [`connection`](super::connection)'s.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroI32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, RecvTimeout, Side, StreamError};

use super::Method;
use crate::Metadata;

/// Id of a stream on its connection. 0 is the connection itself; an id may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(NonZeroI32);

impl StreamId {
    /// `None` for 0.
    pub fn new(id: i32) -> Option<Self> {
        NonZeroI32::new(id).map(Self)
    }

    /// The number on the wire.
    pub fn get(self) -> i32 {
        self.0.get()
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.0)
    }
}

/// Where a stream is in its life: the same three for both roles. What leads from one to the next is in
/// the diagrams of [`proto`](super).
#[derive(Debug)]
pub(super) enum State {
    /// Both directions live.
    Open,
    /// The client's direction has ended with its trailer.
    HalfClosed,
    /// The stream has ended for its handles, and this is why. `Ok` is a clean end. Boxed, as all is that a
    /// stream has only at times: most of its life a stream is idle, and there are many.
    Ended(Box<Result<(), Error>>),
}

/// Messages of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many.
    pub messages: u64,
    /// Their bytes, without headers.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, len: usize) {
        self.messages = self.messages.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) method: Arc<Method>,
    pub(super) state: State,
    pub(super) role: Role,
    /// This side's last frame has been queued.
    pub(super) trailer_sent: bool,
    /// An Rst frame came or was queued: none may follow.
    pub(super) reset: bool,
    /// What the peer opened or answered the stream with.
    pub(super) header: Option<Metadata>,
    /// What the peer ended its direction with.
    pub(super) trailer: Option<Metadata>,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
    /// `None` if a Recv may wait for as long as the stream lives.
    pub(super) recv_wait: Option<Box<RecvWait>>,
    /// `None` if it may be idle for ever.
    pub(super) idle: Option<Box<IdleWatch>>,
    /// Who waits, so that nobody else is woken.
    pub(super) wants_recv: bool,
    pub(super) wants_send: bool,
    /// Nobody will take what arrives, so it is dropped.
    pub(super) discard_incoming: bool,
    /// No handle is left.
    pub(super) released: bool,
}

/// Whether the stream is idle, as seen by a look now and then.
#[derive(Debug, Default)]
pub(super) struct IdleWatch {
    pub(super) next_look: Option<Instant>,
    /// Looks in a row that have found nothing new.
    pub(super) quiet_looks: u32,
    /// Messages at the last look.
    pub(super) messages: u64,
}

#[derive(Debug)]
pub(super) enum Role {
    Client(Call),
    Server(Handling),
}

/// What only the client's end of a stream has.
#[derive(Debug)]
pub(super) struct Call {
    /// Name that a cancel puts on its path.
    pub(super) service: Arc<str>,
    pub(super) deadline: Option<Box<Deadline>>,
    /// Meta frames that nobody has looked at yet.
    pub(super) metas: Option<Box<Metas>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// What was left until then when the stream was opened.
    pub(super) timeout: Duration,
}

/// Meta frames: strings and payload of each.
#[derive(Debug, Default)]
pub(super) struct Metas(pub(super) VecDeque<(Metadata, Bytes)>);

impl Call {
    /// What was left until the deadline when the stream was opened.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.deadline.as_ref().map(|deadline| deadline.timeout)
    }
}

/// How long a Recv may wait, and the one that is under way.
#[derive(Debug)]
pub(super) struct RecvWait {
    pub(super) config: RecvTimeout,
    /// Until when the Recv that is under way may wait.
    pub(super) until: Option<Instant>,
    /// A Recv has timed out that leaves the stream usable, and nobody was told yet.
    pub(super) timed_out: bool,
}

impl RecvWait {
    pub(super) fn new(config: RecvTimeout) -> Box<Self> {
        Box::new(Self { config, until: None, timed_out: false })
    }
}

/// What only the server's end of a stream has.
#[derive(Debug)]
pub(super) struct Handling {
    /// What the answer's header frame will hold; `None` for nothing.
    pub(super) answer: Option<Box<Metadata>>,
    pub(super) answered: bool,
    /// The handler has returned, or was dropped.
    pub(super) finished: bool,
    /// How the client's direction ended, if it has.
    pub(super) requests_end: Result<(), Box<Error>>,
    /// What the client said was left until its deadline.
    pub(super) timeout: Option<Duration>,
}

impl Default for Handling {
    fn default() -> Self {
        Self { answer: None, answered: false, finished: false, requests_end: Ok(()), timeout: None }
    }
}

impl Stream {
    pub(super) fn new(id: StreamId, method: Arc<Method>, role: Role) -> Self {
        Self {
            id,
            method,
            state: State::Open,
            role,
            trailer_sent: false,
            reset: false,
            header: None,
            trailer: None,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            sent: Traffic::default(),
            received: Traffic::default(),
            recv_wait: None,
            idle: None,
            wants_recv: false,
            wants_send: false,
            discard_incoming: false,
            released: false,
        }
    }

    pub(super) fn outcome(&self) -> Option<&Result<(), Error>> {
        match &self.state {
            State::Ended(outcome) => Some(outcome),
            State::Open | State::HalfClosed => None,
        }
    }

    pub(super) fn call(&mut self) -> Option<&mut Call> {
        match &mut self.role {
            Role::Client(call) => Some(call),
            Role::Server(_) => None,
        }
    }

    pub(super) fn handling(&mut self) -> Option<&mut Handling> {
        match &mut self.role {
            Role::Client(_) => None,
            Role::Server(handling) => Some(handling),
        }
    }

    pub(super) fn side(&self) -> Side {
        match &self.role {
            Role::Client(_) => Side::Client,
            Role::Server(_) => Side::Server,
        }
    }

    pub(super) fn recv_timeout_error(&self) -> StreamError {
        let config = self.recv_wait.as_ref().map_or(RecvTimeout::new(Duration::ZERO), |wait| wait.config);
        StreamError::recv_timeout(self.side(), config)
    }

    /// Whether frames for it still mean something: until its end at the client, until its handler has
    /// returned at the server.
    pub(super) fn is_routed(&self) -> bool {
        match &self.role {
            Role::Client(_) => self.outcome().is_none(),
            Role::Server(handling) => !handling.finished,
        }
    }
}

/// Meta frames of a stream that are kept until somebody looks; with more the newest goes.
pub(super) const MAX_METAS: usize = 8;

/// A message that waits in a queue costs this much at least, so that empty ones are not free.
const MIN_CHARGE: usize = 256;

fn charge(message: &Bytes) -> usize {
    message.len().max(MIN_CHARGE)
}

/// Messages that have arrived and were not taken.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn push(&mut self, message: Bytes) {
        self.bytes = self.bytes.saturating_add(charge(&message));
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(charge(&message));
        Some(message)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the messages are charged.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Frames that wait for their turn to be written: at few streams, so that the queue is made when it is
/// needed.
#[derive(Debug, Default)]
pub(super) struct Outbox(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Queued>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) enum Queued {
    /// Payload of a data frame.
    Data(Bytes),
    /// A whole frame.
    Frame(Bytes),
}

impl Queued {
    fn charge(&self) -> usize {
        match self {
            Self::Data(bytes) | Self::Frame(bytes) => charge(bytes),
        }
    }
}

impl Outbox {
    pub(super) fn push(&mut self, frame: Queued) {
        let queue = self.0.get_or_insert_default();
        queue.bytes = queue.bytes.saturating_add(frame.charge());
        queue.frames.push_back(frame);
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queue = self.0.as_mut()?;
        let frame = queue.frames.pop_front()?;
        queue.bytes = queue.bytes.saturating_sub(frame.charge());
        Some(frame)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the frames are charged.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.frames.is_empty())
    }
}
