//! Arguments that several commands share, and how a command ends.

use std::error::Error as StdError;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::model::{self, Model, Ngram};
use crate::report::Reports;
use crate::service::{ModelService, Transcripts};
use crate::user::Wish;

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

/// What to ask, and when to go away.
#[derive(Debug, Args)]
pub(super) struct QuestionArgs {
    /// The question; without one, it is read from the standard input.
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
    pub(super) fn wish(self) -> io::Result<Wish> {
        let prompt = if self.prompt.is_empty() { read_prompt()? } else { self.prompt.join(" ") };
        Ok(Wish { prompt, stop_after: self.stop_after })
    }
}

/// Does `work`, and beside it answers whoever asks `address` for the cancellation tree.
pub(super) async fn inspected<T>(
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
    /// The service, and what to call its model.
    pub(super) fn service(self, reports: Reports) -> Result<(ModelService, String), Failure> {
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
