//! The built-in small language model. Owns the pace and the seeds of its replies; its training text is in
//! `text`, the topic of a prompt in `topic`, the next word in `writer`.
//!
//! It allows to try the chat without an endpoint. Each token is computed when it is polled: replies are not
//! prepared.

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
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use self::text::Text;
use self::topic::Topics;
use self::writer::Writer;
use super::{Model, ModelError, Reply};
use crate::options::ReplyOptions;

/// An n-gram model of words, trained at its first use on the essays in `data/everyday.txt`.
pub struct Ngram {
    text: Arc<Text>,
    interval: Duration,
    seed: Option<u64>,
}

impl Ngram {
    /// Returns a model whose replies differ each time, with a token every 15 ms.
    pub fn new() -> Self {
        static TEXT: OnceLock<Arc<Text>> = OnceLock::new();
        let text = TEXT.get_or_init(|| Arc::new(Text::read(include_str!("../../data/everyday.txt"))));
        Self { text: Arc::clone(text), interval: Duration::from_millis(15), seed: None }
    }

    /// Sets the time from one token to the next. Zero: each token as soon as it is polled.
    #[must_use]
    pub const fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets a seed: the same prompt gets the same reply.
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
        self.reply_with(prompt, &ReplyOptions::default())
    }

    /// Of a conversation only the last turn counts.
    fn reply_with(&self, prompt: &str, options: &ReplyOptions) -> Reply {
        let prompt = prompt.rsplit_once(LAST_TURN).map_or(prompt, |(_, last)| last);
        let mut rng = self.seed.map_or_else(Rng::new, Rng::with_seed);
        let topics = Topics::of(prompt, &self.text, &mut rng);
        let length = options.length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let writer = Writer::new(Arc::clone(&self.text), topics, rng).with_length(length);
        let interval = options.interval.unwrap_or(self.interval);
        Box::pin(Typing { writer, interval, first: options.first_token, waiting: None, ticks: None })
    }
}

/// A reply at the model's pace.
struct Typing {
    writer: Writer,
    interval: Duration,
    first: Option<Duration>,
    /// The wait before the first token.
    waiting: Option<Pin<Box<Sleep>>>,
    ticks: Option<Interval>,
}

impl Stream for Typing {
    type Item = Result<String, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.poll_first(cx));
        if !self.interval.is_zero() {
            ready!(self.poll_tick(cx));
        }
        Poll::Ready(self.writer.next().map(Ok))
    }
}

impl Typing {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(first) = self.first.take() {
            self.waiting = Some(Box::pin(sleep(first)));
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        Poll::Ready(())
    }

    /// The timer starts with the first poll, which is the first point with a runtime.
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

/// What stands before a turn of the user where a prompt is a conversation.
pub(crate) const LAST_TURN: &str = "\nuser: ";
