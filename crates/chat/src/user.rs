//! Who asks: reads a reply token by token, and may go away at any moment. Owns the cancel; knows nothing
//! of terminals and signals.

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

/// How a reply went, as its reader saw it.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended, and how many tokens were shown.
    pub report: Report,
    /// That the reader went away, if so. The reply may have been whole already.
    pub cancel: Option<Cancel>,
    /// Whether the agent ended it.
    pub at_limit: bool,
    /// From the question to the first token.
    pub first: Option<Duration>,
    /// From the question to the end.
    pub took: Duration,
}

/// The moment at which the reader went away.
#[derive(Clone, Copy, Debug)]
pub struct Cancel {
    /// Why.
    pub why: Stop,
    /// When.
    pub at: Instant,
}

/// Why a reader goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has read as many tokens as it wanted.
    Enough,
    /// It was interrupted.
    Interrupt,
    /// Nobody takes what it shows.
    NobodyReads,
}

/// What a reader wants.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// To know this.
    pub prompt: String,
    /// To go away after so many tokens.
    pub stop_after: Option<u64>,
}

/// Asks, gives each token to `show` when it comes, and goes away when `interrupt` is ready, when there
/// was enough, or when `show` fails. An interrupt does not wait for a `show` that blocks.
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
    let report = Report::new(USER, &ended, read.tokens);
    let first = read.first.map(|at| at.duration_since(started));
    let took = report.at.duration_since(started);
    Outcome { report, cancel: door.cancel.get().copied(), at_limit: read.at_limit, first, took }
}

impl Outcome {
    /// What went wrong, in one line, unless the reader went away before.
    pub fn failure(&self, gateway: &Next) -> Option<String> {
        let error = self.report.ended.as_ref().err().filter(|_| self.cancel.is_none())?;
        Some(match gateway.explain(&Context::background(), error.clone()) {
            Error::Biz(error) => crate::text::one_line(&error.message),
            error => error.to_string(),
        })
    }
}

/// The way out. The first to leave says why.
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

/// What has been read.
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
                // Only a reply that had come whole before the cancel has more: its end follows.
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
