//! Whose turn it is to write. At most one writes, so frames keep their order.

use std::mem;
use std::task::{Context, Poll, Waker};

use super::state::{Actions, State};
use crate::proto::{BATCH, Transmit};

#[derive(Debug)]
pub(super) struct Writer {
    turn: Turn,
    /// Writes in a row that senders may do themselves.
    direct: u8,
    /// The task's last batch was of several frames: it is worth waiting for the next.
    bursts: bool,
    /// The same for cancels, which wait for nobody.
    urgent: u8,
    /// What the socket has not taken yet; empty unless the task has the turn.
    batch: Transmit,
    task: Option<Waker>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Nobody,
    Sender,
    /// The reader tells others what has come, and writes what they answer.
    Reader,
    /// The task was woken, and has not begun.
    Called,
    Task,
}

/// A sender that writes a second time before it has heard anything streams, and goes on, it seems. And so
/// does who cancels more streams than this at once.
const DIRECT: u8 = 2;
const URGENT: u8 = 4;

impl Default for Writer {
    fn default() -> Self {
        Self {
            turn: Turn::Nobody,
            direct: 0,
            bursts: false,
            urgent: URGENT,
            batch: Transmit::default(),
            task: None,
        }
    }
}

impl Writer {
    /// Something is queued. Where messages come one by one their sender writes, without a hop; where they
    /// come close upon each other the task does, and gets many into one call.
    pub(super) fn offer(&mut self, queued: usize, urgent: bool, actions: &mut Actions) {
        match self.turn {
            Turn::Nobody => {}
            Turn::Reader if urgent => {}
            // A write's worth waits for nobody, and the peer works on it while more is made here.
            Turn::Reader | Turn::Called if queued >= BATCH => {
                self.turn = Turn::Sender;
                actions.flush = true;
                return;
            }
            Turn::Sender | Turn::Reader | Turn::Called | Turn::Task => return,
        }
        let left = if urgent { &mut self.urgent } else { &mut self.direct };
        match left.checked_sub(1) {
            Some(rest) => {
                *left = rest;
                self.turn = Turn::Sender;
                actions.flush = true;
            }
            None => {
                self.turn = Turn::Called;
                actions.wake.extend(self.task.take());
            }
        }
    }

    /// The peer has said something. What follows it on a connection of one stream is an answer, and alone
    /// unless it was not the last time.
    pub(super) fn heard(&mut self, streams: usize) {
        self.urgent = URGENT;
        if streams <= 1 && !self.bursts {
            self.direct = DIRECT;
        }
    }

    /// Several are about to be told what has come: their answers are to leave together.
    pub(super) fn hold(&mut self) {
        if self.turn == Turn::Nobody {
            self.turn = Turn::Reader;
        }
    }

    /// They have been told. Whether the reader, whose turn it still is, is to write.
    pub(super) fn let_go(&mut self) -> bool {
        let mine = self.turn == Turn::Reader;
        if mine {
            self.turn = Turn::Sender;
        }
        mine
    }

    /// More will be queued soon: whoever opens a stream has something to send on it.
    pub(super) fn expect_more(&mut self) {
        self.direct = 0;
    }

    /// The task waited for more, and nothing came: the next to send need not wait.
    fn learn(&mut self, batch: &Transmit) {
        if self.turn == Turn::Task {
            self.urgent = URGENT;
            self.bursts = batch.frames() > 1;
            self.direct = if self.bursts { 0 } else { DIRECT };
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
            self.writer.learn(&batch);
            return Some(batch);
        }
        self.writer.turn = Turn::Nobody;
        self.writer.batch = batch;
        None
    }

    /// The task begins with its first batch, unless a sender has taken the turn meanwhile.
    pub(super) fn begin_batch(&mut self) -> Option<Transmit> {
        match self.writer.turn {
            Turn::Called | Turn::Task => self.writer.turn = Turn::Task,
            Turn::Nobody | Turn::Sender | Turn::Reader => return None,
        }
        self.next_batch()
    }

    /// The sender that has the turn leaves the rest to the task. Gives the task, to be woken.
    pub(super) fn hand_to_task(&mut self, batch: Transmit) -> Option<Waker> {
        self.writer.batch = batch;
        self.writer.turn = Turn::Task;
        self.writer.task.take()
    }

    /// Waits for the task's turn; `None` when the connection is closed. Gives whether a write's worth is
    /// queued, so that there is nothing to wait for.
    pub(super) fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<Option<bool>> {
        if self.connection.closed().is_some() {
            return Poll::Ready(None);
        }
        if matches!(self.writer.turn, Turn::Called | Turn::Task) {
            return Poll::Ready(Some(self.connection.transmit_bytes() >= BATCH));
        }
        self.writer.task = Some(cx.waker().clone());
        Poll::Pending
    }
}
