//! What views of open streams and records of cancels know of one stream.

use std::sync::Arc;

use stream_core::observe::StreamView;
use stream_core::stream::{HeldStream, WeakStream};
use stream_core::{StreamPhase, Traffic};

/// A stream that can be shown.
pub(crate) trait View: Send + Sync {
    /// Returns what is known of the stream now.
    fn seen(&self) -> Seen;
}

/// What is known of a stream at one time, copied out of its state.
pub(crate) struct Seen {
    stream: Option<WeakStream>,
    phase: StreamPhase,
    sent: Traffic,
    received: Traffic,
}

impl Seen {
    /// Returns the view of a stream; `None` if it is not a stream with a handle. Called without a lock: the handle's
    /// owner may drop it meanwhile, and what is dropped last here ends the stream, which takes the stream's lock.
    fn view(self) -> Option<StreamView> {
        let Self { stream, phase, sent, received } = self;
        Some(StreamView { info: stream?.info()?, phase, sent, received })
    }
}

/// Returns the views of `streams`. Called without a lock.
pub(crate) fn views(streams: &[Arc<impl View + ?Sized>]) -> Vec<StreamView> {
    streams.iter().filter_map(|stream| stream.seen().view()).collect()
}

/// What is kept of one stream for views.
#[derive(Default)]
pub(crate) struct Observed {
    /// `None` for a ping-pong call, which is no stream to those who look.
    pub(crate) stream: Option<WeakStream>,
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
}

impl Observed {
    /// Returns the number of messages in both directions.
    pub(crate) fn messages(&self) -> u64 {
        self.sent.messages.wrapping_add(self.received.messages)
    }

    /// Keeps the stream until its end is recorded, without the lock.
    pub(crate) fn held(&self) -> Option<HeldStream> {
        self.stream.as_ref().and_then(WeakStream::hold)
    }

    pub(crate) fn seen(&self, phase: StreamPhase) -> Seen {
        Seen { stream: self.stream.clone(), phase, sent: self.sent, received: self.received }
    }
}
