//! The state that only one end of a stream has: the client's call, the server's handler.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::Metadata;

/// The largest number of queued meta frames of a stream; later ones are dropped.
const MAX_METAS: usize = 8;

/// The client's end of a stream.
#[derive(Debug)]
pub(super) struct Call {
    service: Arc<str>,
    deadline: Option<Box<Deadline>>,
    /// Allocated on first use, since few streams get meta frames.
    metas: Option<Box<Metas>>,
}

/// Queued meta frames: strings and payload of each.
#[derive(Debug, Default)]
struct Metas(VecDeque<(Metadata, Bytes)>);

#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    /// The time that was left when the stream was opened.
    timeout: Duration,
}

impl Call {
    /// Returns the client's end of a stream. `deadline` includes the time left until then.
    #[inline]
    pub(super) fn new(service: Arc<str>, deadline: Option<(Instant, Duration)>) -> Self {
        let deadline = deadline.map(|(at, timeout)| Box::new(Deadline { at, timeout }));
        Self { service, deadline, metas: None }
    }

    /// Returns the name that a cancel adds to its path.
    pub(super) fn service(&self) -> &Arc<str> {
        &self.service
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.as_ref().map(|deadline| deadline.at)
    }

    /// Returns the time that was left until the deadline when the stream was opened.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.deadline.as_ref().map(|deadline| deadline.timeout)
    }

    /// Queues a meta frame. Returns `false` if there are too many.
    pub(super) fn push_meta(&mut self, meta: impl FnOnce() -> (Metadata, Bytes)) -> bool {
        let metas = &mut self.metas.get_or_insert_default().0;
        let room = metas.len() < MAX_METAS;
        if room {
            metas.push_back(meta());
        }
        room
    }

    pub(super) fn pop_meta(&mut self) -> Option<(Metadata, Bytes)> {
        self.metas.as_mut()?.0.pop_front()
    }
}

/// The server's end of a stream.
#[derive(Debug)]
pub(super) struct Handling {
    /// The time left until the client's deadline, from its header frame.
    timeout: Option<Duration>,
    /// What the header counts for in the connection's sum, in bytes.
    header_charge: u32,
    finished: bool,
}

impl Handling {
    pub(super) fn new(timeout: Option<Duration>, header_charge: u32) -> Self {
        Self { timeout, header_charge, finished: false }
    }

    pub(super) fn header_charge(&self) -> u32 {
        self.header_charge
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Records that the handler has returned or was dropped. Returns `false` if it had before.
    pub(super) fn finish(&mut self) -> bool {
        !mem::replace(&mut self.finished, true)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }
}
