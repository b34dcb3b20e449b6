//! The command line of `chat`.

mod args;
mod ask;
mod demo;
mod http;
mod scene;
mod screen;
mod serve;
mod signal;
mod terminal;
mod watch;

use clap::{Parser, Subcommand};

pub use self::args::{Done, Failure};
pub use self::signal::INTERRUPTED;

/// Asks a question and prints the reply as it comes; Ctrl-C, or --stop-after, cancels it in all services.
///
/// With OPENAI_BASE_URL set, and if need be OPENAI_API_KEY and OPENAI_MODEL, that endpoint is the model.
#[derive(Debug, Parser)]
#[command(name = "chat", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Program {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    demo: demo::DemoArgs,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Asks a gateway that is served elsewhere.
    Ask(ask::AskArgs),
    /// Serves one of the services alone, until Ctrl-C.
    #[command(subcommand)]
    Serve(serve::Service),
}

impl Program {
    /// Runs the command.
    ///
    /// # Errors
    /// One line: the error, and how to correct it.
    pub async fn run(self) -> Result<Done, Failure> {
        match self.role {
            None => demo::run(self.demo).await,
            Some(Role::Ask(args)) => ask::run(args).await,
            Some(Role::Serve(service)) => serve::run(service).await,
        }
    }
}
