//! The services of the chain. Owns their names.

mod agent;
mod gateway;
mod model;
mod transcripts;

use kitex::Server;
use kitex::server::ServerBuilder;

pub use agent::{Agent, DEFAULT_LIMIT};
pub use gateway::Gateway;
pub use model::ModelService;
pub use transcripts::{TranscriptError, Transcripts};

use crate::api::{Chat, ChatServer};

/// Who asks: the name at the beginning of a cancel's path.
pub const USER: &str = "user";
/// The door.
pub const GATEWAY: &str = "gateway";
/// Who prepares the question and watches the reply's length.
pub const AGENT: &str = "agent";
/// Who answers.
pub const MODEL: &str = "model";

/// A server of `handler`, as the service `name`.
pub fn server(name: &'static str, handler: impl Chat) -> ServerBuilder {
    Server::builder(name).service(ChatServer::new(handler))
}
