//! The output of a process, line by line, for tests that wait for it. Owns the timeouts of tests.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// The timeout of any wait. Wide: it detects that a line never comes, not that it comes late.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The lines of one pipe.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    all: Vec<String>,
    /// The number of lines that [`Lines::take`] has returned.
    taken: usize,
    ended: bool,
}

impl Lines {
    /// Reads `pipe` to its end, on a thread of its own.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let writer = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                writer.change(|state| state.all.push(String::from_utf8_lossy(&line).into_owned()));
            }
            writer.change(|state| state.ended = true);
        });
        lines
    }

    /// Returns the next `count` lines that were not taken; fewer at the end of the pipe or on a timeout.
    pub(crate) fn take(&self, count: usize) -> Vec<String> {
        self.take_within(count, PATIENCE)
    }

    /// As [`take`](Self::take), with another timeout.
    pub(crate) fn take_within(&self, count: usize, at_most: Duration) -> Vec<String> {
        let mut state = self.wait(at_most, |state| state.ended || state.all.len() - state.taken >= count);
        let from = state.taken;
        state.taken = state.all.len().min(from + count);
        state.all[from..state.taken].to_vec()
    }

    /// Returns the lines that were not taken by the end of the pipe, or after `at_most`.
    pub(crate) fn rest(&self, at_most: Duration) -> Vec<String> {
        let mut state = self.wait(at_most, |state| state.ended);
        let from = state.taken;
        state.taken = state.all.len();
        state.all[from..].to_vec()
    }

    /// Waits until `find` returns a value for all lines so far, and returns it.
    pub(crate) fn find<T>(&self, mut find: impl FnMut(&[String]) -> Option<T>) -> Option<T> {
        let state = self.wait(PATIENCE, |state| state.ended || find(&state.all).is_some());
        find(&state.all)
    }

    /// Returns whether the pipe has ended before the timeout.
    pub(crate) fn end(&self) -> bool {
        self.wait(PATIENCE, |state| state.ended).ended
    }

    /// Returns all lines so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.state().all.clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait(&self, at_most: Duration, mut done: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), at_most, |state| !done(state));
        waited.expect("no reader panics").0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no reader panics")
    }
}
