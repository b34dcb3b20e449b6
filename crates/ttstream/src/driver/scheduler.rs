//! Decides which task writes. At most one task writes at a time, so frames keep their order. Owns that
//! decision and its statistics of the traffic; knows no connection and no socket.
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
//! Any other offer changes nothing: the current or next writer also writes what was queued.

use std::mem;
use std::task::{Context, Poll, Waker};

use crate::proto::{BATCH, Transmit};

#[derive(Debug)]
pub(super) struct WriteScheduler {
    state: WriterState,
    /// The number of consecutive writes that senders may still do inline.
    inline: u8,
    /// The same for cancels, which are urgent.
    urgent: u8,
    /// The task's last batch had several frames, so it is worth waiting for more.
    bursts: bool,
    /// Bytes that the socket has not accepted yet; empty unless the state is `Task`.
    batch: Transmit,
    task: Option<Waker>,
}

/// The task that may write.
#[derive(Debug, Default, PartialEq, Eq)]
enum WriterState {
    #[default]
    Idle,
    /// A sender writes, or the reader after it has woken others.
    Sender,
    /// The reader is waking tasks, and will write their responses.
    Corked,
    /// The task was woken and has not begun.
    TaskWoken,
    Task,
}

/// The consequence of queued data.
#[derive(Debug)]
pub(super) enum Offer {
    /// Another task writes it.
    Nothing,
    /// The caller writes.
    Write,
    /// The task writes; it is to be woken if it waits.
    Wake(Option<Waker>),
}

/// A sender that writes a second time before anything was received is streaming, and will continue.
const INLINE_WRITES: u8 = 2;
/// As [`INLINE_WRITES`], for cancels.
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
    /// Decides which task writes the `queued` bytes. Single messages are written by their sender, without a
    /// task switch; bursts are written by the task, many messages with one call.
    pub(super) fn offer(&mut self, queued: usize, urgent: bool) -> Offer {
        match self.state {
            WriterState::Idle => {}
            WriterState::Corked if urgent => {}
            // A whole batch is not delayed: the peer processes it while more is produced here.
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

    /// Something was received on a connection with `streams` streams. If there is one stream, the next frame
    /// is a response, and single unless the last batch was a burst.
    pub(super) fn on_received(&mut self, streams: usize) {
        self.urgent = URGENT_WRITES;
        if streams <= 1 && !self.bursts {
            self.inline = INLINE_WRITES;
        }
    }

    /// Corks the writer because the reader is about to wake several tasks: their responses share one write.
    pub(super) fn cork(&mut self) {
        if self.state == WriterState::Idle {
            self.state = WriterState::Corked;
        }
    }

    /// Uncorks the writer after the reader has woken the tasks. Returns whether the reader is to write,
    /// because no other task did.
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

    /// Returns whether the task may begin to write: a sender may have begun meanwhile.
    pub(super) fn begin_task(&mut self) -> bool {
        let begins = matches!(self.state, WriterState::TaskWoken | WriterState::Task);
        if begins {
            self.state = WriterState::Task;
        }
        begins
    }

    /// Takes the bytes that the socket has not accepted, or an empty batch to fill.
    pub(super) fn take_batch(&mut self) -> Transmit {
        mem::take(&mut self.batch)
    }

    /// Adapts to a `batch` about to be written: if the task has waited for more and nothing was added, the
    /// next sender need not wait.
    pub(super) fn on_batch(&mut self, batch: &Transmit) {
        if self.state == WriterState::Task {
            self.urgent = URGENT_WRITES;
            self.bursts = batch.frames() > 1;
            self.inline = if self.bursts { 0 } else { INLINE_WRITES };
        }
    }

    /// Ends writing because nothing is queued. The memory of `batch` is reused for the next.
    pub(super) fn end(&mut self, batch: Transmit) {
        self.state = WriterState::Idle;
        self.batch = batch;
    }

    /// Hands `batch`, and what follows, from the sender to the task. Returns the task's waker.
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
