//! What each service saw of one reply, and the way on which it says so. Knows nothing of who listens: in
//! one process that is the chat itself, for a service alone its terminal.

use std::path::PathBuf;
use std::time::Instant;

use kitex::Result;
use tokio::sync::mpsc;

/// What one service saw of one reply.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who.
    pub service: &'static str,
    /// How its part ended; for a cancel the error says on which side it was seen and along which path
    /// it came.
    pub ended: Result<()>,
    /// When its code learned of that.
    pub at: Instant,
    /// Tokens that it had made, passed on or shown by then.
    pub tokens: u64,
    /// The model's alone.
    pub work: Option<Work>,
}

/// What a model has made of a reply, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Tokens that were finished after the cancel had arrived at the model's service.
    pub late: u64,
    /// Bytes of text in all tokens.
    pub bytes: usize,
    /// The file that holds them, if transcripts are written.
    pub file: Option<PathBuf>,
}

impl Report {
    /// A report as of now.
    pub fn new(service: &'static str, ended: &Result<()>, tokens: u64) -> Self {
        Self { service, ended: ended.clone(), at: Instant::now(), tokens, work: None }
    }
}

/// Where services leave their reports. Clones lead to the same listener.
#[derive(Clone, Debug)]
pub struct Reports(mpsc::Sender<Report>);

impl Reports {
    /// A way, and its end. Holds a bounded number of reports that nobody has taken yet.
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self(sender), receiver)
    }

    /// Leaves a report.
    pub fn tell(&self, report: Report) {
        // A listener that is too slow, or gone, misses a report: no service waits for it.
        let _ = self.0.try_send(report);
    }
}

const MAX_WAITING: usize = 256;
