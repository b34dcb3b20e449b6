//! The seam between a chat and a model: what every model can do.

use futures_core::stream::BoxStream;

use super::ModelError;

/// Something that answers a prompt, token by token.
pub trait Model: Send + Sync + 'static {
    /// What to call it in a greeting or a log.
    fn name(&self) -> &str;

    /// Begins a reply. No token is made and nobody is asked before the first poll, nor after the drop.
    fn reply(&self, prompt: &str) -> Reply;
}

/// The tokens of one reply; put together they are its text. An error is the last item.
pub type Reply = BoxStream<'static, Result<String, ModelError>>;
