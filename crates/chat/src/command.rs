//! The words of `chat`, and what each of them runs.

mod ask;
mod demo;
mod line;
mod screen;
mod serve;
mod signal;
mod watch;

use std::error::Error as StdError;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use self::signal::INTERRUPTED;
use crate::model::{self, Model, Ngram};
use crate::report::Reports;
use crate::service::{ModelService, Transcripts};
use crate::user::Wish;

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

/// What the program cannot go on after, in one line.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// By itself, or as it was told to.
    Well,
    /// By Ctrl-C, within a reply.
    Interrupted,
}

impl Program {
    /// Does what the words say.
    ///
    /// # Errors
    /// One line: what went wrong, and what to do about it.
    pub async fn run(self) -> Result<Done, Failure> {
        match self.role {
            None => demo::run(self.demo).await,
            Some(Role::Ask(args)) => ask::run(args).await,
            Some(Role::Serve(service)) => serve::run(service).await,
        }
    }
}

/// What to ask, and when to go away.
#[derive(Debug, Args)]
struct QuestionArgs {
    /// The question; without one, it is read from the standard input.
    prompt: Vec<String>,
    /// Cancel after so many tokens.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after: Option<u64>,
    /// Show every open stream of this process while the reply comes, again after so many milliseconds; after
    /// a cancel, what it passed through.
    #[arg(long, value_name = "MS", num_args = 0..=1, require_equals = true, default_missing_value = "200")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

impl QuestionArgs {
    fn wish(self) -> io::Result<Wish> {
        let prompt = if self.prompt.is_empty() { read_prompt()? } else { self.prompt.join(" ") };
        Ok(Wish { prompt, stop_after: self.stop_after })
    }
}

/// Does `work`, and beside it answers whoever asks `address` for the cancellation tree.
async fn inspected<T>(
    address: Option<String>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(address) = address else { return work.await };
    tokio::select! {
        biased;
        ended = kitex::inspect::serve(&address) => {
            let why = ended.err().map(|error| error.to_string()).unwrap_or_default();
            Err(format!("cannot serve --inspect on {address}: {why}").into())
        }
        done = work => done,
    }
}

/// A line from a terminal, or all that is piped in, up to a bound that is more than an agent takes.
fn read_prompt() -> io::Result<String> {
    let mut prompt = String::new();
    if io::stdin().is_terminal() {
        eprint!("What do you want to know? ");
        io::stdin().read_line(&mut prompt)?;
    } else {
        io::stdin().take(64 * 1024).read_to_string(&mut prompt)?;
    }
    Ok(prompt)
}

/// Which model answers, and what becomes of its work.
#[derive(Debug, Args)]
struct ModelArgs {
    /// The built-in model gives the same reply for the same prompt.
    #[arg(long)]
    seed: Option<u64>,
    /// Milliseconds from one token of the built-in model to the next [default: 15]
    #[arg(long, value_name = "MS")]
    interval: Option<u64>,
    /// Write what the model made of each reply into a file in this folder.
    #[arg(long, value_name = "DIR")]
    transcripts: Option<PathBuf>,
}

impl ModelArgs {
    /// The service, and what to call its model.
    fn service(self, reports: Reports) -> Result<(ModelService, String), Failure> {
        let model = self.model()?;
        let name = model.name().to_owned();
        let transcripts = self.transcripts.map_or_else(|| Ok(Transcripts::none()), Transcripts::folder)?;
        Ok((ModelService::new(model, transcripts, reports), name))
    }

    fn model(&self) -> Result<Arc<dyn Model>, Failure> {
        if let Some(endpoint) = model::endpoint_from_vars(|name| std::env::var(name).ok())? {
            if self.seed.is_some() || self.interval.is_some() {
                return Err("--seed and --interval are for the built-in model: unset OPENAI_BASE_URL".into());
            }
            return Ok(Arc::new(endpoint));
        }
        let mut model = Ngram::new();
        if let Some(seed) = self.seed {
            model = model.with_seed(seed);
        }
        if let Some(interval) = self.interval {
            model = model.with_interval(Duration::from_millis(interval));
        }
        Ok(Arc::new(model))
    }
}
