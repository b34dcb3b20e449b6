//! How a connection ends: shut down in steps, closed by this side, or lost.

use std::future::poll_fn;
use std::task::Waker;
use std::time::Instant;

use kerrors::StreamError;
use stream_core::clock;
use stream_core::rt::log;

use super::super::state::State;
use super::Link;
use crate::proto::Connection;

impl Link {
    /// Asks the client to send nothing new on this connection.
    pub(crate) fn hand_over(&self) {
        self.update_connection(Connection::hand_over);
    }

    /// Refuses new streams, and closes the connection when no stream is left and all queued data is written.
    pub(crate) fn retire(&self) {
        self.update(State::retire);
    }

    /// Begins the graceful shutdown of a server's connection: refuses new streams, and closes the connection
    /// when no stream is left.
    pub(crate) fn drain(&self) {
        self.update(|state| state.drain(false));
    }

    /// Begins the graceful shutdown of a server's connection: refuses new streams. The connection stays open, so that a stream
    /// that crosses the notice is refused too, until [`drain`](Self::drain).
    pub(crate) fn turn_away(&self) {
        self.update(|state| state.drain(true));
    }

    /// Ends every open stream, here and at the peer, with
    /// [`CONNECTION_CLOSED`](kerrors::Code::CONNECTION_CLOSED).
    pub(crate) fn end_all(&self, service: &str) {
        self.update_connection(|connection| connection.end_all(service));
    }

    /// As [`close`](Self::close), because of the peer or for want of memory. A server's client is informed of the end of each
    /// stream, as far as that can be written at once: their handlers have begun.
    pub(in crate::driver) fn give_up(&self, error: &StreamError) {
        if let Some(service) = self.server.get() {
            self.end_all(service);
        }
        self.close(error);
    }

    /// Ends every stream and the connection with `error`.
    pub(crate) fn close(&self, error: &StreamError) {
        self.close_by(|state, now| state.close(error, now));
    }

    /// As [`close`](Self::close), because the byte stream was lost.
    pub(in crate::driver) fn lose(&self, error: &StreamError) {
        self.close_by(|state, now| state.lose(error, now));
    }

    fn close_by(&self, close: impl FnOnce(&mut State, Instant) -> Vec<Waker>) {
        let now = clock::now();
        let wakers = self.update(|state| close(state, now));
        wakers.into_iter().for_each(Waker::wake);
        if let Err(error) = self.io.shutdown() {
            log(self.io.peer_addr(), &error, "connection was closed already");
        }
    }

    /// Waits until the connection is closed.
    pub(crate) async fn closed(&self) {
        poll_fn(|cx| self.lock(|state| state.poll_closed(cx))).await;
    }
}
