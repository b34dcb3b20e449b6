//! The slot of one shared connection: empty, dialing, or occupied. One dial, on a task of its own, serves all
//! callers that wait for it, and the end of that task ends their wait.

use std::fmt;
use std::mem;
use std::sync::Arc;

use kerrors::Error;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::connect::{Shared, Source};
use crate::rt;
use crate::sync::Mutex;

/// The result of a dial, for a caller that waits for it. The sender is dropped if the dial is abandoned.
pub(super) type Dialed = oneshot::Receiver<Result<Shared, Error>>;

/// A caller that waits for a dial.
type Waiter = oneshot::Sender<Result<Shared, Error>>;

/// The slot of one shared connection. Clones are the same slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Empty,
    /// A dial is under way; these callers wait for its result.
    Dialing(Vec<Waiter>),
    Ready(Shared),
}

impl Slot {
    /// Returns the slot's connection, if it takes new streams.
    pub(super) fn open_connection(&self) -> Option<Shared> {
        self.connection().filter(|connection| connection.is_open())
    }

    /// Returns the slot's connection, open or not.
    pub(super) fn connection(&self) -> Option<Shared> {
        match &*self.0.lock() {
            State::Ready(connection) => Some(connection.clone()),
            State::Dialing(_) | State::Empty => None,
        }
    }

    /// Joins the dial that is under way, or begins one. Called when the slot has no open connection.
    ///
    /// # Errors
    /// Recent dials have failed and the backoff has not passed, or there is no tokio runtime.
    pub(super) fn dial(&self, source: &Arc<Source>) -> Result<Dialed, Error> {
        rt::check()?;
        self.remove_closed(source);
        let (sender, dialed) = oneshot::channel();
        let Some(sender) = self.join(sender) else { return Ok(dialed) };
        if let Some(error) = source.dialer.refuses() {
            return Err(error);
        }
        if self.begin(sender) {
            // Made before the task, so that the wait ends even if the task is never polled.
            let (dial, source) = (Dial { slot: self.clone() }, source.clone());
            // On a task of its own: the dial continues if the caller is dropped.
            Handle::current().spawn(async move { dial.finish(&source.connect().await) });
        }
        Ok(dialed)
    }

    /// Removes a closed connection. If it was lost before it carried anything, it counts as a failed dial.
    fn remove_closed(&self, source: &Source) {
        let Some(closed) = self.connection().filter(|connection| !connection.is_open()) else { return };
        let removed = {
            let mut state = self.0.lock();
            match &*state {
                State::Ready(connection) if Arc::ptr_eq(connection, &closed) => mem::take(&mut *state),
                _ => return,
            }
        };
        drop(removed);
        source.dialer.connection_ended(closed.lost_at_start());
    }

    /// Adds a caller to the running dial; returns the caller if there is none.
    fn join(&self, sender: Waiter) -> Option<Waiter> {
        match &mut *self.0.lock() {
            State::Dialing(waiting) => {
                waiting.push(sender);
                None
            }
            State::Ready(_) | State::Empty => Some(sender),
        }
    }

    /// Adds a caller to the running dial, or marks one as running. Returns whether the caller has to start
    /// it.
    fn begin(&self, sender: Waiter) -> bool {
        let before = {
            let mut state = self.0.lock();
            if let State::Dialing(waiting) = &mut *state {
                waiting.push(sender);
                return false;
            }
            mem::replace(&mut *state, State::Dialing(vec![sender]))
        };
        drop(before);
        true
    }

    /// Empties the slot. Returns its connection.
    pub(super) fn empty(&self) -> Option<Shared> {
        let before = mem::take(&mut *self.0.lock());
        match before {
            State::Ready(connection) => Some(connection),
            State::Dialing(_) | State::Empty => None,
        }
    }

    /// Returns the number of streams on the slot's connection, or of callers that wait for its dial.
    pub(super) fn load(&self) -> usize {
        let connection = match &*self.0.lock() {
            State::Ready(connection) => connection.clone(),
            State::Empty => return 0,
            State::Dialing(waiting) => return waiting.len(),
        };
        // Without the slot's lock: a connection has a lock of its own.
        if connection.is_open() { connection.live_streams() } else { 0 }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Dialing(_) => "Dialing",
            Self::Ready(_) => "Ready",
        })
    }
}

/// A dial that callers wait for. If it is dropped, they fail and the next caller dials again.
struct Dial {
    slot: Slot,
}

impl Dial {
    fn finish(self, result: &Result<Shared, Error>) {
        let next = result.as_ref().map_or(State::Empty, |connection| State::Ready(connection.clone()));
        for waiter in self.replace(next) {
            // A dropped caller has dropped its receiver.
            let _ = waiter.send(result.clone());
        }
    }

    /// Ends the slot's dial. Returns the callers that wait for it.
    fn replace(&self, next: State) -> Vec<Waiter> {
        let mut state = self.slot.0.lock();
        match &*state {
            State::Dialing(_) => match mem::replace(&mut *state, next) {
                State::Dialing(waiting) => waiting,
                State::Empty | State::Ready(_) => Vec::new(),
            },
            // The pool was closed meanwhile, and perhaps used again.
            State::Empty | State::Ready(_) => Vec::new(),
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        drop(self.replace(State::Empty));
    }
}
