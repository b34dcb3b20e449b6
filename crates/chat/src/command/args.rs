//! Arguments shared by several commands, and the results of a command.

use std::error::Error as StdError;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

use crate::model::{self, Model, Ngram};
use crate::proto::Proto;
use crate::report::Reports;
use crate::service::{ModelService, Transcripts};
use crate::status;
use crate::telemetry::Telemetry;
use crate::user::Wish;

/// Default address of the agent.
pub(super) const AGENT_ADDRESS: &str = "127.0.0.1:7002";

/// A fatal error of the program, in one line.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// The result of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has completed, or was shut down as requested.
    Well,
    /// It was interrupted by Ctrl-C within a reply.
    Interrupted,
}

/// The transport of clients.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ProtoArgs {
    /// The transport to the services that this one calls; every service accepts both.
    #[arg(long, value_enum, default_value_t)]
    pub(super) proto: Proto,
}

/// The question, and when to cancel.
#[derive(Debug, Args)]
pub(super) struct QuestionArgs {
    /// The question; with `-` it is read from the standard input.
    pub(super) prompt: Vec<String>,
    /// Cancel after so many tokens.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) stop_after: Option<u64>,
    /// Show every open stream of this process while the reply comes, again after so many milliseconds; after
    /// a cancel, what it passed through.
    #[arg(long, value_name = "MS", num_args = 0..=1, require_equals = true, default_missing_value = "200")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) watch: Option<u64>,
}

impl QuestionArgs {
    fn reads_stdin(&self) -> bool {
        self.prompt.is_empty() || self.prompt == ["-"]
    }

    /// Whether nothing was said that only a question in this terminal needs.
    pub(super) fn is_absent(&self) -> bool {
        self.prompt.is_empty() && self.stop_after.is_none() && self.watch.is_none()
    }

    pub(super) fn wish(self) -> io::Result<Wish> {
        let prompt = if self.reads_stdin() { read_prompt()? } else { self.prompt.join(" ") };
        Ok(Wish { prompt, stop_after: self.stop_after })
    }
}

/// Binds the address of `--inspect`, if there is one.
pub(super) async fn inspect_listener(address: Option<&str>) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => Err(format!("cannot serve --inspect on {address}: {error}").into()),
    }
}

/// Runs `work`, and meanwhile serves the cancellation tree and the metrics to `listener`.
pub(super) async fn inspected<T>(
    listener: Option<TcpListener>,
    reports: Reports,
    telemetry: Option<Telemetry>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(listener) = listener else { return work.await };
    tokio::select! {
        biased;
        ended = status::serve(listener, reports, telemetry) => {
            Err(ended.err().unwrap_or_else(|| io::Error::other("--inspect has ended")).into())
        }
        done = work => done,
    }
}

/// Reads a line from a terminal, or all piped input, up to a bound above the agent's limit.
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

/// The model, and its transcripts.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// The built-in model gives the same reply for the same prompt.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Milliseconds from one token of the built-in model to the next [default: 15]
    #[arg(long, value_name = "MS")]
    pub(super) interval: Option<u64>,
    /// Write what the model made of each reply into a file in this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) transcripts: Option<PathBuf>,
}

impl ModelArgs {
    /// Returns the service, and the name of its model.
    pub(super) fn service(self, reports: Reports) -> Result<(ModelService, String), Failure> {
        let model = self.model()?;
        let name = model.name().to_owned();
        let transcripts = self.transcripts.map_or_else(|| Ok(Transcripts::none()), Transcripts::folder)?;
        Ok((ModelService::new(model, transcripts, reports), name))
    }

    /// The words that make the same model in another process.
    pub(super) fn words(&self) -> Vec<String> {
        let seed = self.seed.map(|seed| ["--seed".to_owned(), seed.to_string()]);
        let interval = self.interval.map(|interval| ["--interval".to_owned(), interval.to_string()]);
        let folder = self.transcripts.as_ref();
        let folder = folder.map(|folder| ["--transcripts".to_owned(), folder.display().to_string()]);
        [seed, interval, folder].into_iter().flatten().flatten().collect()
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
