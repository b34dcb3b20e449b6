//! Models. Owns the interface between a chat and a model, and the choice of one; knows nothing of services or
//! of how a reply is sent.
//!
//! A reply is a lazy stream: it works only while it is polled, on the task that polls it. So dropping the
//! stream is a cancel, and no token is made after it.

mod error;
mod ngram;
mod openai;
mod reply;
pub(crate) mod sse;

use std::sync::Arc;

pub use error::ModelError;
pub(crate) use ngram::LAST_TURN;
pub use ngram::Ngram;
pub use openai::{OpenAi, OpenAiConfig};
pub use reply::{Model, Reply};

/// Returns the model that the environment selects: the endpoint at `OPENAI_BASE_URL` if that is set (with
/// `OPENAI_MODEL` and `OPENAI_API_KEY`), else the built-in n-gram model.
pub fn from_env() -> Result<Arc<dyn Model>, ModelError> {
    from_vars(|name| std::env::var(name).ok())
}

/// As [`from_env`], with other variables. An empty one counts as not set.
pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Arc<dyn Model>, ModelError> {
    Ok(match endpoint_from_vars(var)? {
        Some(endpoint) => Arc::new(endpoint),
        None => Arc::new(Ngram::new()),
    })
}

/// Returns the endpoint that [`from_vars`] would choose, if any.
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
