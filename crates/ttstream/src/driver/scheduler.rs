//! Who writes. At most one task writes at a time, so frames keep their order. Owns that decision and what it
//! has learned about the traffic; knows no connection and no socket.
//!
//! ```text
//!   Idle ------ offer, inline writes are left --------------------------------> Sender
//!   Idle ------ offer, none is left: the task is woken -----------------------> TaskWoken
//!   Idle ------ cork: the reader is about to wake several ---------------------> Corked
//!   Corked ---- uncork; offer of a whole batch, or an urgent one inline -------> Sender
//!   Corked ---- offer, urgent, no inline write is left ------------------------> TaskWoken
//!   TaskWoken - offer of a whole batch ---------------------------------------> Sender
//!   TaskWoken - the task takes its first batch --------------------------------> Task
//!   Sender ---- the socket accepts no more, or the sender has written enough --> Task
//!   Sender ---- nothing is left, or the connection is closed ------------------> Idle
//!   Task ------ nothing is left, or the connection is closed ------------------> Idle
//! ```
//! Any other offer changes nothing: whoever writes, or is about to, takes what was queued with it.

use std::mem;
use std::task::{Context, Poll, Waker};

use crate::proto::{BATCH, Transmit};

#[derive(Debug)]
pub(super) struct WriteScheduler {
    state: WriterState,
    /// Writes in a row that senders may still do themselves.
    inline: u8,
    /// The same for cancels, which are urgent.
    urgent: u8,
    /// The task's last batch was of several frames: it is worth waiting for the next.
    bursts: bool,
    /// What the socket has not accepted yet; empty unless the state is `Task`.
    batch: Transmit,
    task: Option<Waker>,
}

/// Who may write.
#[derive(Debug, Default, PartialEq, Eq)]
enum WriterState {
    #[default]
    Idle,
    /// A sender writes, or the reader after it has woken others.
    Sender,
    /// The reader wakes others, and will write what they answer.
    Corked,
    /// The task was woken and has not begun.
    TaskWoken,
    Task,
}

/// What follows from something that was queued.
#[derive(Debug)]
pub(super) enum Offer {
    /// Somebody else writes it.
    Nothing,
    /// The caller writes.
    Write,
    /// The task writes; it is to be woken if it waits.
    Wake(Option<Waker>),
}

/// A sender that writes a second time before anything was received is streaming, and will go on.
const INLINE_WRITES: u8 = 2;
/// Who cancels more streams than this at once will go on too.
const URGENT_WRITES: u8 = 4;

impl Default for WriteScheduler {
    fn default() -> Self {
        Self {
            state: WriterState::Idle,
            inline: 0,
            urgent: URGENT_WRITES,
            bursts: false,
            batch: Transmit::default(),
            task: None,
        }
    }
}

impl WriteScheduler {
    /// Decides who writes the `queued` bytes. Where messages come one by one their sender writes, without a
    /// change of task; where they come in bursts the task does, and gets many into one call.
    pub(super) fn offer(&mut self, queued: usize, urgent: bool) -> Offer {
        match self.state {
            WriterState::Idle => {}
            WriterState::Corked if urgent => {}
            // A whole batch is not delayed: the peer works on it while more is made here.
            WriterState::Corked | WriterState::TaskWoken if queued >= BATCH => {
                self.state = WriterState::Sender;
                return Offer::Write;
            }
            WriterState::Sender | WriterState::Corked | WriterState::TaskWoken | WriterState::Task => {
                return Offer::Nothing;
            }
        }
        let left = if urgent { &mut self.urgent } else { &mut self.inline };
        match left.checked_sub(1) {
            Some(rest) => {
                *left = rest;
                self.state = WriterState::Sender;
                Offer::Write
            }
            None => {
                self.state = WriterState::TaskWoken;
                Offer::Wake(self.task.take())
            }
        }
    }

    /// Something was received on a connection of so many streams. What follows it where there is one stream
    /// is an answer, and comes alone unless the last batch was a burst.
    pub(super) fn on_received(&mut self, streams: usize) {
        self.urgent = URGENT_WRITES;
        if streams <= 1 && !self.bursts {
            self.inline = INLINE_WRITES;
        }
    }

    /// The reader is about to wake several tasks: what they answer is to leave with one write.
    pub(super) fn cork(&mut self) {
        if self.state == WriterState::Idle {
            self.state = WriterState::Corked;
        }
    }

    /// The reader has woken them. Returns whether it is to write, since nobody else did.
    pub(super) fn uncork(&mut self) -> bool {
        let corked = self.state == WriterState::Corked;
        if corked {
            self.state = WriterState::Sender;
        }
        corked
    }

    /// A stream was opened, so more will be queued soon.
    pub(super) fn expect_more(&mut self) {
        self.inline = 0;
    }

    /// The task wants to write. Returns whether it may: a sender may have begun meanwhile.
    pub(super) fn begin_task(&mut self) -> bool {
        let begins = matches!(self.state, WriterState::TaskWoken | WriterState::Task);
        if begins {
            self.state = WriterState::Task;
        }
        begins
    }

    /// Takes what the socket has not accepted, or an empty batch to fill.
    pub(super) fn take_batch(&mut self) -> Transmit {
        mem::take(&mut self.batch)
    }

    /// `batch` is about to be written. If the task has waited for more and nothing came, the next sender
    /// need not wait.
    pub(super) fn on_batch(&mut self, batch: &Transmit) {
        if self.state == WriterState::Task {
            self.urgent = URGENT_WRITES;
            self.bursts = batch.frames() > 1;
            self.inline = if self.bursts { 0 } else { INLINE_WRITES };
        }
    }

    /// There is nothing to write. The memory of `batch` is kept for the next.
    pub(super) fn end(&mut self, batch: Transmit) {
        self.state = WriterState::Idle;
        self.batch = batch;
    }

    /// The sender leaves `batch`, and what follows, to the task. Returns the task, to be woken.
    pub(super) fn hand_to_task(&mut self, batch: Transmit) -> Option<Waker> {
        self.batch = batch;
        self.state = WriterState::Task;
        self.task.take()
    }

    /// Waits until the task may write.
    pub(super) fn poll_task(&mut self, cx: &Context<'_>) -> Poll<()> {
        if matches!(self.state, WriterState::TaskWoken | WriterState::Task) {
            return Poll::Ready(());
        }
        self.task = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state == WriterState::Idle
    }

    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.task.take()
    }
}
