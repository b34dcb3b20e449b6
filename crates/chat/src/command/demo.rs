//! `chat`: the whole chain in one process, and one question to it.

use std::time::Instant;

use clap::Args;
use kitex::Side;
use kitex::observe::{self, CancelView};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Duration, timeout};

use super::args::{Done, Failure, ModelArgs, ProtoArgs, QuestionArgs, inspect_listener, inspected};
use super::ask::converse;
use super::http::HTTP_ADDRESS;
use super::scene::{self, SceneArgs};
use super::screen::{Form, Screen};
use super::watch::Watch;
use crate::chain::Chain;
use crate::next::Next;
use crate::report::{Report, Reports};
use crate::service::{AGENT, DEFAULT_LIMIT, GATEWAY, MODEL, USER};
use crate::watch::Names;

/// The arguments of `chat`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    question: QuestionArgs,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    transport: ProtoArgs,
    /// Tokens that the agent lets a reply have.
    #[arg(long, value_name = "TOKENS", default_value_t = DEFAULT_LIMIT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    max_tokens: u64,
    /// Answer every HTTP request to this address with the open streams and the last cancels, as JSON.
    #[arg(long, value_name = "HOST:PORT")]
    inspect: Option<String>,
    /// Without a question: the address of the page.
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_ADDRESS)]
    http: String,
    /// Without a question: milliseconds without a token after which an event stream has a comment.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..))]
    keep_alive: Option<u64>,
}

/// Starts the services, asks, and shows the outcome of each of them.
pub(super) async fn run(args: DemoArgs) -> Result<Done, Failure> {
    if args.question.is_absent() && args.form.is_default() {
        let DemoArgs { model, http, keep_alive, transport, .. } = args;
        return scene::run(SceneArgs { addr: http, model, keep_alive, proto: transport.proto }).await;
    }
    let inspect = inspect_listener(args.inspect.as_deref()).await?;
    if let Some(address) = inspect.as_ref().and_then(|listener| listener.local_addr().ok()) {
        eprintln!("inspect: http://{address}/");
    }
    let (reports, listener) = Reports::channel();
    inspected(inspect, reports.clone(), None, chat(args, reports, listener)).await
}

async fn chat(args: DemoArgs, reports: Reports, mut listener: Receiver<Report>) -> Result<Done, Failure> {
    let DemoArgs { question, form, model, max_tokens, transport: ProtoArgs { proto }, .. } = args;
    let watch = question.watch;
    let wish = question.wish()?;
    let (service, model) = model.service(reports.clone())?;
    let chain = Chain::start(service, max_tokens, proto, &reports).await?;
    let screen = Screen::new(form);
    let way = format!(
        "{USER} -> {GATEWAY} {} -> {AGENT} {} -> {MODEL} {}: {model}",
        chain.gateway, chain.agent, chain.model
    );
    screen.head(&way);
    let gateway = Next::over(proto, USER, GATEWAY, &chain.gateway.to_string())?;
    let names = [(chain.gateway, GATEWAY), (chain.agent, AGENT), (chain.model, MODEL)];
    let watch = Watch::asked_for(watch, Names::from(names));
    converse(&gateway, wish, screen, watch, hops(&mut listener)).await
}

/// Returns the report of each service, in the order of the chain. Late reports are missing.
async fn hops(listener: &mut Receiver<Report>) -> Vec<Report> {
    let mut hops = Vec::new();
    let all = async {
        while hops.len() < CHAIN.len() {
            hops.extend(listener.recv().await);
        }
    };
    // Late reports are left out.
    let _ = timeout(PATIENCE, all).await;
    for hop in hops.iter_mut().filter(|hop| hop.ended.as_ref().is_err_and(kitex::Error::is_canceled)) {
        hop.received = received(hop.service).await;
    }
    hops.sort_by_key(|report: &Report| CHAIN.iter().position(|name| *name == report.service));
    hops
}

/// Returns when the cancel of the reply was read by a service of this process.
async fn received(service: &str) -> Option<Instant> {
    let read = || {
        let cancels = observe::cancels();
        let own = |cancel: &&CancelView| {
            cancel.stream.side == Side::Server && &*cancel.stream.own_service == service
        };
        cancels.iter().rev().find(own).map(|cancel| cancel.received)
    };
    let deadline = Instant::now() + RECORD;
    loop {
        let received = read();
        if received.is_some() || Instant::now() >= deadline {
            return received;
        }
        // A handler may be faster than the record, which is written when everything below is canceled.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How long the record of a cancel may take, on a machine that is busy.
const RECORD: Duration = Duration::from_secs(10);
const CHAIN: [&str; 3] = [GATEWAY, AGENT, MODEL];
const PATIENCE: Duration = Duration::from_secs(10);
