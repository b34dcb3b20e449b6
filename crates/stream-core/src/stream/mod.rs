//! The handles of a stream: one that sends, one that receives. Raw bytes; types are another crate's.
//!
//! This pair is the seam on which typed streams stand: open, send and receive bytes, header, trailer,
//! cancel with a reason. Dropping a client's half before its end cancels the stream: a drop never looks
//! like a clean end.

mod recv;
mod send;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kerrors::Side;

pub use recv::{Recv, RecvStream};
pub use send::SendStream;

use crate::cancel::{Reason, Registration};
use crate::driver::Link;
use crate::proto::StreamKey;

/// What the halves of a stream share.
pub(crate) struct Shared {
    pub(crate) link: Arc<Link>,
    pub(crate) key: StreamKey,
    side: Side,
    senders: AtomicUsize,
    /// Whether a Recv may time out, so that it has to look at the clock.
    timed: bool,
    /// Dropped after the stream is released: the place in the caller's scope, the connection's lease.
    _keep: Keep,
}

/// What lives as long as the stream does.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    _registration: Option<Registration>,
    _lease: Option<crate::client::Lease>,
}

impl Keep {
    pub(crate) fn new(registration: Option<Registration>, lease: Option<crate::client::Lease>) -> Self {
        Self { _registration: registration, _lease: lease }
    }
}

impl Shared {
    pub(crate) fn halves(
        link: Arc<Link>,
        key: StreamKey,
        side: Side,
        timed: bool,
        keep: Keep,
    ) -> (SendStream, RecvStream) {
        let shared = Arc::new(Self { link, key, side, senders: AtomicUsize::new(1), timed, _keep: keep });
        (SendStream::new(shared.clone()), RecvStream::new(shared))
    }

    /// Client: ends the stream here and there.
    fn cancel(&self, reason: &Reason) {
        self.link.with(|connection| connection.cancel(self.key, reason));
    }

    fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it was the last.
    fn remove_sender(&self) -> bool {
        self.senders.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.link.release(self.key);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.key.id().get())
            .field("side", &self.side)
            .field("peer", &self.link.peer())
            .finish()
    }
}
