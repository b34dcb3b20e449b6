//! `chat`: the whole chain in one process, and one question to it.

use clap::Args;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Duration, timeout};

use super::args::{Done, Failure, ModelArgs, QuestionArgs, inspected};
use super::ask::converse;
use super::screen::Screen;
use super::watch::Watch;
use crate::chain::Chain;
use crate::next::Next;
use crate::report::{Report, Reports};
use crate::service::{AGENT, DEFAULT_LIMIT, GATEWAY, MODEL, USER};
use crate::watch::Names;

/// The words of `chat`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    question: QuestionArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Tokens that the agent lets a reply have.
    #[arg(long, value_name = "TOKENS", default_value_t = DEFAULT_LIMIT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: u64,
    /// Answer every HTTP request to this address with the open streams and the last cancels, as JSON.
    #[arg(long, value_name = "HOST:PORT")]
    inspect: Option<String>,
}

/// Starts the services, asks, and shows what each of them saw.
pub(super) async fn run(args: DemoArgs) -> Result<Done, Failure> {
    let inspect = args.inspect.clone();
    inspected(inspect, chat(args)).await
}

async fn chat(args: DemoArgs) -> Result<Done, Failure> {
    let DemoArgs { question, model, max_tokens, .. } = args;
    let watch = question.watch;
    let wish = question.wish()?;
    let (reports, mut listener) = Reports::channel();
    let (service, model) = model.service(reports.clone())?;
    let chain = Chain::start(service, max_tokens, &reports).await?;
    let mut screen = Screen::new();
    let way = format!(
        "{USER} -> {GATEWAY} {} -> {AGENT} {} -> {MODEL} {}: {model}",
        chain.gateway, chain.agent, chain.model
    );
    screen.say(&(screen.paint().dim(&way) + "\n\n"));
    let gateway = Next::new(USER, GATEWAY, &chain.gateway.to_string())?;
    let names = [(chain.gateway, GATEWAY), (chain.agent, AGENT), (chain.model, MODEL)];
    let watch = Watch::asked_for(watch, Names::from(names));
    converse(&gateway, wish, screen, watch, hops(&mut listener)).await
}

/// The report of each service, in the order of the chain. One that does not come in time is missing.
async fn hops(listener: &mut Receiver<Report>) -> Vec<Report> {
    let mut hops = Vec::new();
    let all = async {
        while hops.len() < CHAIN.len() {
            hops.extend(listener.recv().await);
        }
    };
    // What came in time is shown; a hop that is not there shows that it did not come.
    let _ = timeout(PATIENCE, all).await;
    hops.sort_by_key(|report: &Report| CHAIN.iter().position(|name| *name == report.service));
    hops
}

const CHAIN: [&str; 3] = [GATEWAY, AGENT, MODEL];
const PATIENCE: Duration = Duration::from_secs(2);
