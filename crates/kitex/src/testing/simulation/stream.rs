//! The byte stream of one end of a simulated connection, and what moves packets: the state that ends share, and its task.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use stream_core::io::ByteStream;
use tokio::sync::Notify;
use tokio::task::coop::poll_proceed;
use tokio::time::sleep_until;

use super::connection::{Connection, Side};
use super::world::World;

/// The state of a simulation, and what waits for changes of it.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    /// The time of the next arrival may have changed.
    changed: Notify,
    /// A partition has ended, or a host is up again.
    pub(super) healed: Notify,
}

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self { world: Mutex::new(world), changed: Notify::new(), healed: Notify::new() }
    }

    /// Changes the state, then wakes tasks, without the lock.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let before = world.next_due();
        let result = change(&mut world);
        let (wakers, is_changed) = (std::mem::take(&mut world.wakers), world.next_due() != before);
        drop(world);
        wakers.into_iter().for_each(Waker::wake);
        if is_changed {
            self.changed.notify_one();
        }
        result
    }

    /// Delivers packets when they are due, for as long as the simulation lasts.
    pub(super) async fn deliver(self: Arc<Self>) {
        loop {
            let next = self.update(|world| {
                world.run_due();
                world.next_due()
            });
            match next {
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = sleep_until(at) => {}
                        () = self.changed.notified() => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Arc<Shared>,
    number: u64,
    side: Side,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, number: u64, side: Side) -> Self {
        Self { shared, number, side }
    }

    fn on_connection<R>(&self, change: impl FnOnce(&mut Connection) -> R) -> io::Result<R> {
        let on_world = |world: &mut World| world.connections.get_mut(&self.number).map(change);
        self.shared.update(on_world).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        is_ready: fn(&Connection, Side) -> bool,
        wait: fn(&mut Connection, Side, Waker) -> Option<Waker>,
    ) -> Poll<io::Result<()>> {
        let budget = ready!(poll_proceed(cx));
        let side = self.side;
        let (is_ready, _before) = self.on_connection(|connection| match is_ready(connection, side) {
            true => (true, None),
            false => (false, wait(connection, side, cx.waker().clone())),
        })?;
        if !is_ready {
            return Poll::Pending;
        }
        budget.made_progress();
        Poll::Ready(Ok(()))
    }
}

impl ByteStream for Stream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx, Connection::is_readable, Connection::wait_to_read)
    }

    fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        if buf.len() == buf.capacity() {
            buf.reserve(1);
        }
        let room = buf.capacity().saturating_sub(buf.len());
        let (bytes, writer) = self.on_connection(|connection| connection.take(self.side, room))??;
        buf.extend_from_slice(&bytes);
        writer.into_iter().for_each(Waker::wake);
        Ok(bytes.len())
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx, Connection::is_writable, Connection::wait_to_write)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.shared.update(|world| {
            let connection = world.connections.get_mut(&self.number).ok_or(io::ErrorKind::NotConnected)?;
            let bytes = connection.accept(self.side, slices)?;
            let accepted = bytes.len();
            world.send_bytes(self.number, self.side, bytes);
            Ok(accepted)
        })
    }

    fn shutdown(&self) -> io::Result<()> {
        self.shared.update(|world| world.close(self.number, self.side, false));
        Ok(())
    }

    fn is_quiet(&self) -> bool {
        self.on_connection(|connection| !connection.is_readable(self.side)).unwrap_or(false)
    }

    fn is_closed_by_peer(&self) -> bool {
        self.on_connection(|connection| connection.is_closed_by_peer(self.side)).unwrap_or(true)
    }

    fn is_reset(&self) -> bool {
        self.on_connection(|connection| connection.take_reset(self.side)).unwrap_or(false)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.update(|world| world.close(self.number, self.side, true));
    }
}
