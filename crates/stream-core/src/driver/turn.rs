//! Whose turn it is to write. At most one writes, so frames keep their order.

use std::mem;
use std::task::{Context, Poll, Waker};

use super::state::{Actions, State};
use crate::proto::Transmit;

#[derive(Debug, Default)]
pub(super) struct Writer {
    turn: Turn,
    /// What the socket has not taken yet; empty unless the task has the turn.
    batch: Transmit,
    task: Option<Waker>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Nobody,
    Sender,
    Task,
}

impl Writer {
    /// Something is queued. With one stream its sender writes, without a hop; with several the task
    /// does, and gets more frames into one call.
    pub(super) fn offer(&mut self, streams: usize, actions: &mut Actions) {
        if self.turn != Turn::Nobody {
            return;
        }
        if streams <= 1 {
            self.turn = Turn::Sender;
            actions.flush = true;
        } else {
            self.turn = Turn::Task;
            actions.wake.extend(self.task.take());
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.turn == Turn::Nobody
    }

    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.task.take()
    }

    /// Whoever has the turn has written all of `batch`: its memory serves for the next.
    pub(super) fn give_back(&mut self, batch: Transmit) {
        self.batch = batch;
    }
}

impl State {
    /// The next batch, or what is left of the last; `None` if there is nothing, and then the turn is
    /// nobody's.
    pub(super) fn next_batch(&mut self) -> Option<Transmit> {
        let mut batch = mem::take(&mut self.writer.batch);
        if self.connection.closed().is_none()
            && (!batch.is_empty() || self.connection.poll_transmit(&mut batch))
        {
            return Some(batch);
        }
        self.writer.turn = Turn::Nobody;
        batch.shrink();
        self.writer.batch = batch;
        None
    }

    /// The sender that has the turn leaves the rest to the task. Gives the task, to be woken.
    pub(super) fn hand_to_task(&mut self, batch: Transmit) -> Option<Waker> {
        self.writer.batch = batch;
        self.writer.turn = Turn::Task;
        self.writer.task.take()
    }

    /// Waits for the task's turn; `false` when the connection is closed.
    pub(super) fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<bool> {
        if self.connection.closed().is_some() {
            return Poll::Ready(false);
        }
        if self.writer.turn == Turn::Task {
            return Poll::Ready(true);
        }
        self.writer.task = Some(cx.waker().clone());
        Poll::Pending
    }
}
