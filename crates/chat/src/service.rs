//! The services of the chain. Owns their names.

mod agent;
mod gateway;
mod model;
mod retriever;
mod transcripts;

use kitex::Server;
use kitex::server::ServerBuilder;

pub(crate) use agent::PASSAGES;
pub use agent::{Agent, DEFAULT_LIMIT};
pub use gateway::Gateway;
pub use model::ModelService;
pub use retriever::Retriever;
pub use transcripts::{TranscriptError, Transcripts};

use crate::api::{Chat, ChatServer};

/// The client: the first name of a cancel path.
pub const USER: &str = "user";
/// The entry point.
pub const GATEWAY: &str = "gateway";
/// Prepares the question and limits the reply's length.
pub const AGENT: &str = "agent";
/// Finds passages beside the model.
pub const RETRIEVER: &str = "retriever";
/// Writes the reply.
pub const MODEL: &str = "model";

/// Returns a server builder for `handler`, as the service `name`.
pub fn server(name: &'static str, handler: impl Chat) -> ServerBuilder {
    Server::builder(name).service(ChatServer::new(handler))
}
