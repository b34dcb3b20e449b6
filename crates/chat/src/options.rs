//! What a user may wish of one reply, beside the question. Owns the keys under which the wishes travel the whole chain.

use std::str::FromStr;
use std::time::Duration;

use kitex::Context;

/// Wishes of one reply. They travel as persistent metainfo, so that every hop can read them. What is absent is as the
/// service that it concerns was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyOptions {
    /// Time before the first token of the built-in model.
    pub first_token: Option<Duration>,
    /// Time from one token of the built-in model to the next.
    pub interval: Option<Duration>,
    /// Tokens after which the built-in model ends its reply, at the end of the sentence.
    pub length: Option<u64>,
    /// Tokens after which the agent ends the reply, if that is less than its own limit.
    pub limit: Option<u64>,
    /// Passages after which the agent cancels the retriever.
    pub sources: Option<u64>,
}

impl ReplyOptions {
    /// Reads the wishes of a call. Values that are no numbers count as absent, those above the bounds as the bounds:
    /// one minute, one million tokens.
    pub fn of(ctx: &Context) -> Self {
        let millis = |key| read(ctx, key).map(|value: u64| Duration::from_millis(value.min(MAX_MILLIS)));
        let count = |key| read(ctx, key).map(|value: u64| value.min(MAX_TOKENS));
        Self {
            first_token: millis(FIRST_TOKEN),
            interval: millis(INTERVAL),
            length: count(LENGTH),
            limit: count(LIMIT).filter(|limit| *limit > 0),
            sources: count(SOURCES),
        }
    }

    /// Returns a child of `ctx` whose calls take the wishes along.
    #[must_use]
    pub fn set(&self, ctx: &Context) -> Context {
        let millis = |time: Option<Duration>| time.map(|time| time.as_millis().to_string());
        let count = |value: Option<u64>| value.map(|value| value.to_string());
        let pairs = [
            (FIRST_TOKEN, millis(self.first_token)),
            (INTERVAL, millis(self.interval)),
            (LENGTH, count(self.length)),
            (LIMIT, count(self.limit)),
            (SOURCES, count(self.sources)),
        ];
        let set = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
        set.fold(ctx.clone(), |ctx, (key, value)| ctx.with_persistent(key, value))
    }
}

/// Returns the id of the chat that a call belongs to, if its gateway gave it one.
pub fn chat_id(ctx: &Context) -> Option<String> {
    let id = ctx.persistent(CHAT_ID)?;
    Some(String::from_utf8_lossy(id.get(..MAX_ID_LEN).unwrap_or(id)).into_owned())
}

/// Returns a child of `ctx` whose calls belong to the chat `id`.
#[must_use]
pub fn with_chat_id(ctx: &Context, id: &str) -> Context {
    ctx.with_persistent(CHAT_ID, id.to_owned())
}

fn read<T: FromStr>(ctx: &Context, key: &str) -> Option<T> {
    std::str::from_utf8(ctx.persistent(key)?).ok()?.parse().ok()
}

/// Bytes of a chat's id at most.
pub const MAX_ID_LEN: usize = 64;
const MAX_MILLIS: u64 = 60_000;
const MAX_TOKENS: u64 = 1_000_000;

const CHAT_ID: &str = "chat-id";
const FIRST_TOKEN: &str = "chat-first-token-ms";
const INTERVAL: &str = "chat-interval-ms";
const LENGTH: &str = "chat-length";
const LIMIT: &str = "chat-limit";
const SOURCES: &str = "chat-sources";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_options_are_read_as_they_were_set_and_bounded() {
        let options = ReplyOptions {
            first_token: Some(Duration::from_millis(5)),
            interval: Some(Duration::ZERO),
            length: Some(7),
            limit: None,
            sources: Some(2),
        };
        let ctx = options.set(&with_chat_id(&Context::background(), "me.1"));
        assert_eq!((ReplyOptions::of(&ctx), chat_id(&ctx).as_deref()), (options, Some("me.1")));
        let ctx = Context::background()
            .with_persistent("chat-length", "99999999999")
            .with_persistent("chat-limit", "0")
            .with_persistent("chat-interval-ms", "soon")
            .with_persistent("chat-first-token-ms", "9999999");
        let read = ReplyOptions::of(&ctx);
        let bounded = ReplyOptions {
            first_token: Some(Duration::from_millis(60_000)),
            length: Some(1_000_000),
            ..ReplyOptions::default()
        };
        assert_eq!(read, bounded);
    }
}
