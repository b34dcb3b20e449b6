//! The actions that a change of the state causes, to be run once its lock is released. Most changes cause none, or wake
//! one task: that takes no memory.

use std::mem;
use std::task::Waker;

use kerrors::{Error, StreamError};

use super::observed::HeldStream;
use crate::cancel::Cascade;
use crate::proto::StreamKey;

/// Actions to run after the lock is released.
#[derive(Default)]
pub(super) struct Actions {
    pub(super) wake: Wakers,
    pub(super) flush: bool,
    pub(super) close: Option<Close>,
    pub(super) rare: Option<Box<Rare>>,
}

/// What happens at the start and the end of a stream.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) cancel: Vec<CanceledHandler>,
    pub(super) reset: Vec<(Option<HeldStream>, StreamError)>,
    pub(super) opened: Vec<StreamKey>,
    /// Dropped without the lock: the causes of cancels are values of users.
    pub(super) causes: Vec<Error>,
    /// Dropped without the lock: a waker is foreign code.
    pub(super) replaced: Option<Waker>,
}

/// The outcome of a read: the tasks to wake, and the streams that were opened.
pub(super) struct ReadOutcome {
    pub(super) wake: Wakers,
    pub(super) opened: Vec<StreamKey>,
    /// More than one task and stream in total, so the writer is corked: their responses can share a write.
    pub(super) corked: bool,
}

/// A handler whose stream has ended before it returned. Its scope is already closed, so that the end of the
/// stream and that of the scope are seen together.
pub(super) struct CanceledHandler {
    pub(super) cascade: Option<Cascade>,
    pub(super) stream: Option<HeldStream>,
    pub(super) error: StreamError,
}

/// When an unused connection is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Close {
    Now,
    Later,
}

impl Actions {
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Removes and returns what the reader does itself.
    pub(super) fn take_read(&mut self) -> ReadOutcome {
        let wake = mem::take(&mut self.wake);
        let opened = self.rare.as_mut().map(|rare| mem::take(&mut rare.opened)).unwrap_or_default();
        let corked = wake.len().saturating_add(opened.len()) > 1;
        ReadOutcome { wake, opened, corked }
    }
}

/// Tasks to wake, in this order.
#[derive(Default)]
pub(super) struct Wakers {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakers {
    pub(super) fn push(&mut self, waker: Waker) {
        match &self.first {
            None => self.first = Some(waker),
            Some(_) => self.others.push(waker),
        }
    }

    fn len(&self) -> usize {
        self.others.len().saturating_add(self.first.is_some().into())
    }

    pub(super) fn wake(self) {
        let Self { first, others } = self;
        if let Some(first) = first {
            first.wake();
            if !others.is_empty() {
                others.into_iter().for_each(Waker::wake);
            }
        }
    }
}

impl Extend<Waker> for Wakers {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        wakers.into_iter().for_each(|waker| self.push(waker));
    }
}

impl IntoIterator for Wakers {
    type Item = Waker;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Waker>, std::vec::IntoIter<Waker>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}
