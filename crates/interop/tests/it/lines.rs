//! What a process prints, line by line, for those who wait for it. Owns how long anything may take.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// How long anything may take. Wide: it says that a line never comes, not that it comes late.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The lines of one pipe, as they come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    all: Vec<String>,
    /// How many of them [`Lines::take`] has handed out.
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

    /// The next `count` lines that nobody has taken; fewer if the pipe ends or patience does.
    pub(crate) fn take(&self, count: usize) -> Vec<String> {
        self.take_within(count, PATIENCE)
    }

    /// As [`take`](Self::take), with another patience.
    pub(crate) fn take_within(&self, count: usize, at_most: Duration) -> Vec<String> {
        let mut state = self.wait(at_most, |state| state.ended || state.all.len() - state.taken >= count);
        let from = state.taken;
        state.taken = state.all.len().min(from + count);
        state.all[from..state.taken].to_vec()
    }

    /// What nobody has taken by the end of the pipe, or of `at_most`.
    pub(crate) fn rest(&self, at_most: Duration) -> Vec<String> {
        let mut state = self.wait(at_most, |state| state.ended);
        let from = state.taken;
        state.taken = state.all.len();
        state.all[from..].to_vec()
    }

    /// What `find` makes of all lines, as soon as it makes anything of them.
    pub(crate) fn find<T>(&self, mut find: impl FnMut(&[String]) -> Option<T>) -> Option<T> {
        let state = self.wait(PATIENCE, |state| state.ended || find(&state.all).is_some());
        find(&state.all)
    }

    /// Whether the pipe has ended before patience did.
    pub(crate) fn end(&self) -> bool {
        self.wait(PATIENCE, |state| state.ended).ended
    }

    /// Every line so far.
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
