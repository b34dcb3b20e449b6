//! The outcome of a reply at each service, and the channel that reports it. Knows nothing of the receiver: in
//! one process that is the chat itself, for a service alone its terminal.

use std::path::PathBuf;
use std::time::Instant;

use kitex::{Context, Result};
use tokio::sync::{broadcast, mpsc};

use crate::options::chat_id;

/// The outcome of one reply at one service.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the service.
    pub service: &'static str,
    /// The chat that the reply belongs to, if its gateway gave it an id.
    pub chat: Option<String>,
    /// The result of its part; for a cancel the error has the side and the cancel path.
    pub ended: Result<()>,
    /// When the cancel that ended it was read by its service, if that is known. Its code sees the end later.
    pub received: Option<Instant>,
    /// When its code saw the end.
    pub at: Instant,
    /// The number of tokens that it had made, forwarded or shown by then.
    pub tokens: u64,
    /// Only for the model.
    pub work: Option<Work>,
}

/// The work of a model on a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The number of tokens that the model began after the cancel had arrived at its service. The one that it was making
    /// at that moment does not count.
    pub late: u64,
    /// The bytes of text in all tokens.
    pub bytes: usize,
    /// The transcript file, if transcripts are written.
    pub file: Option<PathBuf>,
}

impl Report {
    /// Returns a report with the current time.
    pub fn new(service: &'static str, ended: &Result<()>, tokens: u64) -> Self {
        Self {
            service,
            chat: None,
            ended: ended.clone(),
            received: None,
            at: Instant::now(),
            tokens,
            work: None,
        }
    }

    /// Sets the chat to that of a handler's context.
    #[must_use]
    pub fn of(mut self, ctx: &Context) -> Self {
        self.chat = chat_id(ctx);
        self
    }
}

/// Sends the reports of services. Clones send to the same receiver.
#[derive(Clone, Debug)]
pub struct Reports {
    listener: mpsc::Sender<Report>,
    followers: broadcast::Sender<Report>,
}

impl Reports {
    /// Returns a sender and its receiver, with a bounded queue.
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self { listener: sender, followers: broadcast::Sender::new(MAX_WAITING) }, receiver)
    }

    /// Sends a report.
    pub fn publish(&self, report: Report) {
        // A slow or closed receiver misses reports: services do not wait for it.
        let _ = self.followers.send(report.clone());
        let _ = self.listener.try_send(report);
    }

    /// Follows the reports from now on. A follower that is 256 reports behind misses the oldest.
    pub fn follow(&self) -> broadcast::Receiver<Report> {
        self.followers.subscribe()
    }
}

const MAX_WAITING: usize = 256;
