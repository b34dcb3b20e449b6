//! The interface of models.

use futures_core::stream::BoxStream;

use super::ModelError;
use crate::options::ReplyOptions;

/// Replies to prompts, token by token.
pub trait Model: Send + Sync + 'static {
    /// Returns its name for a greeting or a log.
    fn name(&self) -> &str;

    /// Creates a reply. It does no work before the first poll, nor after it is dropped.
    fn reply(&self, prompt: &str) -> Reply;

    /// Begins a reply with wishes. A model that cannot follow them leaves them out.
    fn reply_with(&self, prompt: &str, _options: &ReplyOptions) -> Reply {
        self.reply(prompt)
    }
}

/// The tokens of one reply; concatenated they are its text. An error is the last item.
pub type Reply = BoxStream<'static, Result<String, ModelError>>;
