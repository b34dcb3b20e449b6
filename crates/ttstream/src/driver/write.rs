//! Writes what the connection has queued, as many frames as there are with one call.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::Waker;

use kerrors::{Code, StreamError};
use tokio::time::timeout;

use super::link::Link;
use super::state::State;
use crate::proto::Transmit;

/// Parts of a batch that one call writes.
const MAX_SLICES: usize = 64;

/// Batches that a sender writes in a row before it leaves the rest to the task.
const MAX_SENDER_BATCHES: usize = 4;

impl Link {
    /// Writes as the sender that has the turn; what the socket does not take is left to the task.
    pub(super) fn flush(&self) {
        for _ in 0..MAX_SENDER_BATCHES {
            let batch = self.locked(State::next_batch);
            let Some(mut batch) = batch else { return };
            match self.write_ready(&mut batch) {
                Ok(()) if batch.is_empty() => self.peek(|state| state.writer.give_back(batch)),
                Ok(()) => return self.leave_to_task(batch),
                Err(error) => return self.write_failed(&error),
            }
        }
        self.leave_to_task(Transmit::default());
    }

    /// The reader has told everyone: what they have answered is written, if nobody else has done so.
    pub(super) fn flush_answers(&self) {
        if self.peek(|state| state.writer.let_go()) {
            self.flush();
        }
    }

    fn leave_to_task(&self, batch: Transmit) {
        let waker = self.peek(|state| state.hand_to_task(batch));
        waker.into_iter().for_each(Waker::wake);
    }

    /// Writes until the batch is empty or the socket takes no more.
    fn write_ready(&self, batch: &mut Transmit) -> io::Result<()> {
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = batch.fill(&mut slices);
            match self.socket.try_write_vectored(slices.get(..filled).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => batch.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A peer that takes nothing has had its time. One that is gone may have left the end of streams behind
    /// that is not read yet: the reader comes to the end of the connection by itself, and soon. Whoever has
    /// the turn keeps it, so that nothing more is written.
    fn write_failed(&self, error: &io::Error) {
        let lost = StreamError::new(Code::TRANSPORT_CLOSING).with_cause(format!("connection lost: {error}"));
        match error.kind() {
            io::ErrorKind::TimedOut => self.close(&lost),
            _ => self.close_later(lost),
        }
    }

    /// Waits for the turn; `None` when the connection is closed.
    async fn turn(&self) -> Option<bool> {
        std::future::poll_fn(|cx| self.peek(|state| state.poll_turn(cx))).await
    }

    async fn write_all(&self, batch: &mut Transmit) -> io::Result<()> {
        loop {
            let before = batch.len();
            self.write_ready(batch)?;
            if batch.is_empty() {
                return Ok(());
            }
            let stalled = || io::Error::new(io::ErrorKind::TimedOut, "peer takes no data");
            match timeout(self.write_stall, self.socket.writable()).await {
                Ok(ready) => ready?,
                Err(_) if batch.len() == before => return Err(stalled()),
                Err(_) => {}
            }
        }
    }
}

/// Writes whenever it is the task's turn, until the connection is closed.
pub(super) async fn write_loop(link: Arc<Link>) {
    while let Some(enough) = link.turn().await {
        if !enough {
            // Whoever is ready to run may add to the batch first.
            tokio::task::yield_now().await;
        }
        let batch = link.locked(State::begin_batch);
        let Some(mut batch) = batch else { continue };
        match link.write_all(&mut batch).await {
            Ok(()) => link.peek(|state| state.writer.give_back(batch)),
            Err(error) => return link.write_failed(&error),
        }
    }
}
