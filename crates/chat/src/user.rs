//! The client: reads a reply token by token, and may cancel at any time. Owns the cancel; knows nothing of
//! terminals and signals.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use kitex::{Canceler, Context, Error, Result};
use tokio::task::JoinSet;

use crate::api::Question;
use crate::next::{AT_LIMIT, FINISH, Next};
use crate::report::Report;
use crate::service::USER;

/// The outcome of a reply at the client.
#[derive(Debug)]
pub struct Outcome {
    /// The result, and the number of shown tokens.
    pub report: Report,
    /// The client's cancel, if any. The reply may have been complete already.
    pub cancel: Option<Cancel>,
    /// Whether the agent ended it at its limit.
    pub at_limit: bool,
    /// The time from the question to the first token.
    pub first: Option<Duration>,
    /// The time from the question to the end.
    pub took: Duration,
}

/// A cancel by the client.
#[derive(Clone, Copy, Debug)]
pub struct Cancel {
    /// The reason.
    pub why: Stop,
    /// The time.
    pub at: Instant,
}

/// The reason of a cancel by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has read the requested number of tokens.
    Enough,
    /// It was interrupted.
    Interrupt,
    /// Its output was closed.
    NobodyReads,
}

/// A request of the client.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The question.
    pub prompt: String,
    /// The number of tokens after which to cancel.
    pub stop_after: Option<u64>,
}

/// Asks, passes each token to `show` as it arrives, and cancels when `interrupt` completes, after the
/// requested number of tokens, or when `show` fails. An interrupt does not wait for a `show` that blocks.
pub async fn ask(
    gateway: &Next,
    wish: Wish,
    interrupt: impl Future<Output = ()> + Send + 'static,
    show: impl FnMut(&str) -> io::Result<()>,
) -> Outcome {
    let (ctx, canceler) = Context::background().with_cancel();
    let door = Arc::new(Door { canceler, cancel: OnceLock::new() });
    let mut watch = JoinSet::new();
    let way_out = door.clone();
    watch.spawn(async move {
        interrupt.await;
        way_out.leave(Stop::Interrupt);
    });
    let (started, mut read) = (Instant::now(), Read::default());
    let ended = read.all(gateway, &ctx, wish, &door, show).await;
    let cancel = door.cancel.get().copied();
    let received = cancel.filter(|_| ended.is_err()).map(|cancel| cancel.at);
    let report = Report { received, ..Report::new(USER, &ended, read.tokens) };
    let first = read.first.map(|at| at.duration_since(started));
    let took = report.at.duration_since(started);
    Outcome { report, cancel, at_limit: read.at_limit, first, took }
}

impl Outcome {
    /// Returns the error in one line, unless the client has canceled before.
    pub fn failure(&self, gateway: &Next) -> Option<String> {
        let error = self.report.ended.as_ref().err().filter(|_| self.cancel.is_none())?;
        Some(match gateway.explain(&Context::background(), error.clone()) {
            Error::Biz(error) => crate::text::one_line(&error.message),
            error => error.to_string(),
        })
    }
}

/// The cancel. The first reason stays.
struct Door {
    canceler: Canceler,
    cancel: OnceLock<Cancel>,
}

impl Door {
    fn leave(&self, why: Stop) {
        if self.cancel.set(Cancel { why, at: Instant::now() }).is_ok() {
            self.canceler.cancel();
        }
    }

    fn has_left(&self) -> bool {
        self.cancel.get().is_some()
    }
}

/// The tokens read so far.
#[derive(Default)]
struct Read {
    tokens: u64,
    first: Option<Instant>,
    at_limit: bool,
}

impl Read {
    async fn all(
        &mut self,
        gateway: &Next,
        ctx: &Context,
        wish: Wish,
        door: &Door,
        mut show: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<()> {
        let mut reply = gateway.client().ask(ctx, Question { prompt: wish.prompt.into() }).await?;
        while let Some(token) = reply.recv().await? {
            if door.has_left() {
                // Only a reply that was complete before the cancel has more: its end follows.
                continue;
            }
            self.first.get_or_insert_with(Instant::now);
            if show(&token.text).is_err() {
                door.leave(Stop::NobodyReads);
                continue;
            }
            self.tokens += 1;
            if Some(self.tokens) == wish.stop_after {
                door.leave(Stop::Enough);
            }
        }
        let trailer = reply.trailer();
        self.at_limit = trailer.is_some_and(|trailer| trailer.get_str(FINISH) == Some(AT_LIMIT));
        Ok(())
    }
}
