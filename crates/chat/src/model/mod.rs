//! What writes the replies. Owns the seam between a chat and a model, and the choice of one; knows
//! nothing of services or of how a reply travels.
//!
//! A reply is a lazy stream: it works only while it is polled, on the task that polls it. So a drop of
//! the stream is a cancel, and not one token is made after it.

mod error;
mod ngram;
mod openai;
mod reply;
mod sse;

use std::sync::Arc;

pub use error::ModelError;
pub use ngram::Ngram;
pub use openai::{OpenAi, OpenAiConfig};
pub use reply::{Model, Reply};

/// The model that the environment asks for: the endpoint at `OPENAI_BASE_URL` if that is set (with
/// `OPENAI_MODEL` and `OPENAI_API_KEY`), else the n-gram model that is built in.
pub fn from_env() -> Result<Arc<dyn Model>, ModelError> {
    from_vars(|name| std::env::var(name).ok())
}

/// [`from_env`] with variables from elsewhere. One that is empty counts as not set.
pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Arc<dyn Model>, ModelError> {
    Ok(match endpoint_from_vars(var)? {
        Some(endpoint) => Arc::new(endpoint),
        None => Arc::new(Ngram::new()),
    })
}

/// The endpoint that [`from_vars`] would choose, if it would.
pub fn endpoint_from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Option<OpenAi>, ModelError> {
    let set = |name| var(name).filter(|value| !value.trim().is_empty());
    let Some(base_url) = set("OPENAI_BASE_URL") else { return Ok(None) };
    let mut config = OpenAiConfig::new(base_url);
    config.api_key = set("OPENAI_API_KEY");
    if let Some(model) = set("OPENAI_MODEL") {
        config.model = model;
    }
    OpenAi::new(config).map(Some)
}
