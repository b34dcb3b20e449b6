//! A small language model that is built in. Owns the pace of its replies and their seeds; what it has
//! read is in `text`, what a prompt is about in `topic`, the next word in `writer`.
//!
//! It exists so that the chat can be tried with nothing around it. It really works for each token, when
//! it is asked for that token: there is no finished reply from which pieces are cut.

mod stem;
mod text;
mod topic;
mod writer;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fastrand::Rng;
use futures_core::Stream;
use tokio::time::{Interval, MissedTickBehavior, interval};

use self::text::Text;
use self::topic::Topics;
use self::writer::Writer;
use super::{Model, ModelError, Reply};

/// An n-gram model of words, trained at its first use on the essays in `data/everyday.txt`.
pub struct Ngram {
    text: Arc<Text>,
    interval: Duration,
    seed: Option<u64>,
}

impl Ngram {
    /// A model that answers differently each time, with a token every 15 ms.
    pub fn new() -> Self {
        static TEXT: OnceLock<Arc<Text>> = OnceLock::new();
        let text = TEXT.get_or_init(|| Arc::new(Text::read(include_str!("../../data/everyday.txt"))));
        Self { text: Arc::clone(text), interval: Duration::from_millis(15), seed: None }
    }

    /// The time from one token to the next. Zero: each token as soon as it is asked for.
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// From now on the same prompt gets the same reply.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Default for Ngram {
    fn default() -> Self {
        Self::new()
    }
}

impl Model for Ngram {
    fn name(&self) -> &str {
        "the built-in n-gram model"
    }

    fn reply(&self, prompt: &str) -> Reply {
        let mut rng = self.seed.map_or_else(Rng::new, Rng::with_seed);
        let topics = Topics::of(prompt, &self.text, &mut rng);
        let writer = Writer::new(Arc::clone(&self.text), topics, rng);
        Box::pin(Typing { writer, interval: self.interval, ticks: None })
    }
}

/// A reply at the pace of a person who types fast.
struct Typing {
    writer: Writer,
    interval: Duration,
    ticks: Option<Interval>,
}

impl Stream for Typing {
    type Item = Result<String, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.interval.is_zero() {
            ready!(self.poll_tick(cx));
        }
        Poll::Ready(self.writer.next().map(Ok))
    }
}

impl Typing {
    /// The timer begins with the first poll, as only then a runtime is sure to be there.
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let period = self.interval;
        let ticks = self.ticks.get_or_insert_with(|| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        ticks.poll_tick(cx).map(drop)
    }
}
