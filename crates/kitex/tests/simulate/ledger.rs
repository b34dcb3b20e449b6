//! What handlers and the user have seen. The invariants are checked on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use kitex::{Error, Result};

/// What has happened in one simulation. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Handlers, in the order in which they began.
    pub(crate) runs: Vec<Run>,
    /// How many handlers run at each service, and how many have at most.
    running: BTreeMap<usize, usize>,
    pub(crate) most: BTreeMap<usize, usize>,
    /// Invariants that were broken.
    pub(crate) broken: Vec<String>,
}

/// A handler.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) call: usize,
    pub(crate) hop: usize,
    /// Messages that it has sent to its client, and received from it.
    pub(crate) sent: i64,
    pub(crate) received: i64,
    pub(crate) end: Option<End>,
}

/// How a handler has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Returned,
    Failed(String),
    /// Its future was dropped before it returned.
    Dropped,
}

/// A running handler.
#[derive(Debug)]
pub(crate) struct Running {
    ledger: Ledger,
    index: usize,
    hop: usize,
}

impl Ledger {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }

    pub(crate) fn begin(&self, call: usize, hop: usize) -> Running {
        let mut entries = self.entries();
        entries.runs.push(Run { call, hop, sent: 0, received: 0, end: None });
        let running = entries.running.entry(hop).or_default();
        *running += 1;
        let running = *running;
        let most = entries.most.entry(hop).or_default();
        *most = (*most).max(running);
        Running { ledger: self.clone(), index: entries.runs.len() - 1, hop }
    }

    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.entries().broken.push(what());
        }
    }

    /// Checks that an end that is asked again says the same.
    pub(crate) fn check_same(&self, first: &Error, again: &Result<impl Sized>, what: &str) {
        let again = again.as_ref().err().map(ToString::to_string);
        self.check(again.as_deref() == Some(&*first.to_string()), || {
            format!("{what}: {first}, then {again:?}")
        });
    }

    /// Returns the handlers that run now.
    pub(crate) fn unfinished(&self) -> Vec<Run> {
        self.entries().runs.iter().filter(|run| run.end.is_none()).cloned().collect()
    }
}

impl Running {
    pub(crate) fn sent(&self) {
        self.ledger.entries().runs[self.index].sent += 1;
    }

    pub(crate) fn received(&self) {
        self.ledger.entries().runs[self.index].received += 1;
    }

    pub(crate) fn end(self, result: Result<()>) -> Result<()> {
        let end = match &result {
            Ok(()) => End::Returned,
            Err(error) => End::Failed(error.to_string()),
        };
        self.ledger.entries().runs[self.index].end = Some(end);
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut entries = self.ledger.entries();
        *entries.running.get_mut(&self.hop).unwrap() -= 1;
        entries.runs[self.index].end.get_or_insert(End::Dropped);
    }
}
