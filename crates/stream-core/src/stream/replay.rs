//! The state that a client's stream keeps to be opened again: messages sent before the response begins, wakers that
//! wait meanwhile, and finally the stream that has replaced it. Independent of the type of streams: `N` is one.

use std::mem;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use bytes::Bytes;
use kerrors::Error;
use tokio::task::AbortHandle;

use crate::BoxFuture;
use crate::Message;
use crate::Retryable;
use crate::sync::Mutex;

/// Opens a stream once more.
pub(crate) trait Reopen<N>: Send + Sync + 'static {
    /// Returns whether the stream, which has ended so, may be opened again, and counts it as opened again.
    fn is_permitted(&self, retryable: Retryable) -> bool;

    /// Opens it.
    fn reopen(self: Box<Self>) -> BoxFuture<'static, Result<N, Error>>;
}

/// What a client's stream keeps while it may have to be opened again.
pub(crate) struct Replay<N> {
    /// Whether the answer has not begun: what handles do is kept, or waits for the stream that is opened next.
    active: AtomicBool,
    state: Mutex<State<N>>,
    /// The stream that was opened in the place of this one.
    next: OnceLock<N>,
    /// What the stream ended with while it was opened again.
    failure: OnceLock<Error>,
}

struct State<N> {
    kept: Kept<N>,
    phase: Phase,
}

/// What is done again on the next stream.
struct Kept<N> {
    reopen: Option<Box<dyn Reopen<N>>>,
    /// Most streams send one message before the answer begins.
    first: Option<Bytes>,
    later: Vec<Bytes>,
    /// Bytes that may still be kept.
    room: usize,
    send_closed: bool,
}

enum Phase {
    Keeping,
    Reopening(Vec<Waker>, Option<AbortHandle>),
    /// There is another stream, or there will be none.
    Over,
}

impl<N: Clone> Replay<N> {
    /// Returns the replay of a stream that keeps at most `room` bytes of messages.
    pub(crate) fn new(reopen: Box<dyn Reopen<N>>, room: usize) -> Box<Self> {
        let kept = Kept { reopen: Some(reopen), first: None, later: Vec::new(), room, send_closed: false };
        Box::new(Self {
            active: AtomicBool::new(true),
            state: Mutex::new(State { kept, phase: Phase::Keeping }),
            next: OnceLock::new(),
            failure: OnceLock::new(),
        })
    }

    pub(super) fn next(&self) -> Option<&N> {
        self.next.get()
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }

    /// Whether the stream is being opened again.
    pub(super) fn is_reopening(&self) -> bool {
        self.is_active() && matches!(self.state.lock().phase, Phase::Reopening(..))
    }

    /// The answer has begun: nothing need be kept any more.
    pub(super) fn commit(&self) {
        self.active.store(false, Ordering::Release);
        let mut state = self.state.lock();
        let kept = matches!(state.phase, Phase::Keeping).then(|| {
            state.phase = Phase::Over;
            state.kept.take()
        });
        drop(state);
        drop(kept);
    }

    /// A message was sent. Returns `false` if the stream is opened again and the message is not among what is sent
    /// again: then it is to be sent on the next stream.
    pub(super) fn keep(&self, message: &Message<'_>) -> bool {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Keeping => {}
            Phase::Reopening(..) => return false,
            Phase::Over => return self.next.get().is_none(),
        }
        let kept = &mut state.kept;
        let Some(room) = kept.room.checked_sub(message.as_ref().len()) else {
            // More than may be kept: the stream is not opened again.
            drop(state);
            self.commit();
            return true;
        };
        kept.room = room;
        match &mut kept.first {
            None => kept.first = Some(message.to_bytes()),
            Some(_) => kept.later.push(message.to_bytes()),
        }
        true
    }

    /// This direction was ended. Returns whether the next stream, if there is one, ends it too by itself.
    pub(super) fn keep_close(&self) -> bool {
        let mut state = self.state.lock();
        state.kept.send_closed = true;
        !matches!(state.phase, Phase::Over)
    }

    /// Returns whether this direction was ended.
    pub(super) fn is_send_closed(&self) -> bool {
        self.state.lock().kept.send_closed
    }

    /// Sets the error that the stream ends with instead of its refusal. The first one set is kept.
    pub(super) fn set_failure(&self, error: Error) {
        let _ = self.failure.set(error);
    }

    /// An operation on the stream has failed. `waker` is woken when another stream has replaced it, or none will.
    pub(super) fn begin(&self, retryable: Retryable, waker: &Waker) -> Begin<N> {
        let mut state = self.state.lock();
        let reopen = state.kept.reopen.take_if(|_| retryable != Retryable::Never);
        match (&mut state.phase, reopen) {
            (Phase::Over, _) => Begin::Over,
            (Phase::Reopening(wakers, _), _) => {
                if !wakers.iter().any(|known| known.will_wake(waker)) {
                    wakers.push(waker.clone());
                }
                Begin::Wait
            }
            (Phase::Keeping, None) => Begin::Over,
            (Phase::Keeping, Some(reopen)) => {
                state.phase = Phase::Reopening(vec![waker.clone()], None);
                let kept = state.kept.take();
                Begin::Reopen(reopen, kept.first.into_iter().chain(kept.later))
            }
        }
    }

    /// The task that opens another stream.
    pub(super) fn keep_task(&self, task: AbortHandle) {
        if let Phase::Reopening(_, kept) = &mut self.state.lock().phase {
            *kept = Some(task);
        }
    }

    /// Stops opening another stream: its handles were dropped.
    pub(super) fn give_up(&self) {
        let (kept, phase) = {
            let mut state = self.state.lock();
            (state.kept.take(), mem::replace(&mut state.phase, Phase::Over))
        };
        drop(kept);
        if let Phase::Reopening(wakers, task) = phase {
            task.into_iter().for_each(|task| task.abort());
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends the opening of another stream, which is `next` unless there is none. `is_closed`: its direction from here
    /// was ended.
    pub(super) fn settle(&self, next: Option<&N>, is_closed: bool) -> Settled {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Reopening(..) if next.is_some() && state.kept.send_closed && !is_closed => {
                return Settled::Close;
            }
            Phase::Reopening(..) => {}
            Phase::Keeping | Phase::Over => return Settled::GivenUp,
        }
        // Set once: the phase is left here.
        next.into_iter().for_each(|next| drop(self.next.set(next.clone())));
        match mem::replace(&mut state.phase, Phase::Over) {
            Phase::Reopening(wakers, _) => Settled::Done(wakers),
            Phase::Keeping | Phase::Over => Settled::GivenUp,
        }
    }
}

/// The messages that are sent again.
type Messages = std::iter::Chain<std::option::IntoIter<Bytes>, std::vec::IntoIter<Bytes>>;

/// What is to be done about a stream that has ended.
pub(super) enum Begin<N> {
    /// Nothing: another has replaced it, or none will.
    Over,
    /// Another is being opened.
    Wait,
    /// Another is to be opened, and the messages sent on it.
    Reopen(Box<dyn Reopen<N>>, Messages),
}

/// How the opening of another stream has ended.
pub(super) enum Settled {
    /// It has replaced the refused one; these wait for it.
    Done(Vec<Waker>),
    /// This direction is to be ended on the next stream first.
    Close,
    GivenUp,
}

impl<N> Kept<N> {
    fn take(&mut self) -> Self {
        let empty =
            Self { reopen: None, first: None, later: Vec::new(), room: 0, send_closed: self.send_closed };
        mem::replace(self, empty)
    }
}
