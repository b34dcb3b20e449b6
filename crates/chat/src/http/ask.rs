//! A question from an HTTP client, asked of the chain. Owns the chat's id, its report, and the limit of chats at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kitex::{BizStatusError, Context, Error, Result, ServerStreamingClient};

use super::opened::opening;
use super::shared::Shared;
use crate::api::{Question, Token};
use crate::options::{MAX_ID_LEN, ReplyOptions, with_chat_id};
use crate::report::Report;
use crate::service::GATEWAY;

/// A question, and what is wished of the reply.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    pub(super) prompt: String,
    pub(super) chat: String,
    pub(super) options: ReplyOptions,
    pub(super) deadline: Option<Duration>,
}

impl Ask {
    /// The chat's id: `wanted` if it can be one, else a new one with this prefix.
    pub(super) fn id(wanted: Option<&str>, prefix: &str) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let fits = |id: &&str| {
            let letters = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            (1..=MAX_ID_LEN).contains(&id.len()) && letters
        };
        let new = || format!("{prefix}.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        wanted.filter(fits).map_or_else(new, str::to_owned)
    }

    /// The context of the chat's call.
    pub(super) fn ctx(&self, shared: &Shared) -> Context {
        let ctx = self.options.set(&with_chat_id(&shared.ctx, &self.chat));
        self.deadline.map_or(ctx.clone(), |deadline| ctx.with_timeout(deadline))
    }

    /// Opens the call. `delivered` counts the tokens that were handed to the client.
    pub(super) async fn open(
        self,
        ctx: Context,
        shared: Arc<Shared>,
        delivered: Arc<AtomicU64>,
    ) -> Result<ServerStreamingClient<Token>> {
        let Ok(permit) = shared.permits.clone().try_acquire_owned() else {
            return Err(BizStatusError::new(503, "too many chats at once: ask again later").into());
        };
        let question = Question { prompt: self.prompt.clone().into() };
        let call = shared.agent.client().ask(&ctx, question);
        let stream = opening(self.chat.clone(), call).await;
        let stream = stream.map_err(|error| shared.agent.explain(&ctx, error))?;
        let reports = shared.reports.clone();
        stream.on_close(move |error| {
            drop(permit);
            let ended = error.map_or(Ok(()), |error| Err(error.clone()));
            let tokens = delivered.load(Ordering::Relaxed);
            if ended.is_ok() {
                shared.usual.add(tokens);
            }
            let report = Report { chat: Some(self.chat), ..Report::new(GATEWAY, &ended, tokens) };
            reports.publish(report);
        });
        Ok(stream)
    }
}

/// The text of a chain's error for the client, as the gateway's own service would send it.
pub(super) fn explained(shared: &Shared, error: &Error) -> Error {
    if error.is_canceled() || error.kind() == kitex::ErrorKind::Timeout {
        return error.clone();
    }
    shared.agent.explain(&Context::background(), error.clone())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Time since the start of a reply, in milliseconds.
pub(super) fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
