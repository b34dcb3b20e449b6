//! The chain from outside: all of it in one process, and as processes of its own. No test proves anything
//! by the passing of real time; each ends by an event or fails after a minute.

mod cancel;
#[path = "../models/endpoint.rs"]
#[allow(dead_code, reason = "the tests of the models need more of it")]
mod endpoint;
mod ends;
mod keep;
mod openai;
mod process;
mod program;
mod served;
mod watch;

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chat::chain::Chain;
use chat::model::{Model, Ngram};
use chat::next::Next;
use chat::report::{Report, Reports};
use chat::service::{AGENT, DEFAULT_LIMIT, GATEWAY, MODEL, ModelService, Transcripts, USER};
use chat::user::{Outcome, Wish, ask};
use kitex::{Code, Side};
use tokio::sync::mpsc::Receiver;

/// A chain that runs, and what it reports.
struct Running {
    gateway: Next,
    reports: Receiver<Report>,
    _chain: Chain,
}

impl Running {
    async fn start(model: impl Model) -> Self {
        Self::with(Arc::new(model), Transcripts::none(), DEFAULT_LIMIT).await
    }

    async fn with(model: Arc<dyn Model>, transcripts: Transcripts, limit: u64) -> Self {
        let (reports, listener) = Reports::channel();
        let service = ModelService::new(model, transcripts, reports.clone());
        let chain = Chain::start(service, limit, &reports).await.expect("free ports");
        let gateway = Next::new(USER, GATEWAY, &chain.gateway.to_string()).expect("an address");
        Self { gateway, reports: listener, _chain: chain }
    }

    /// Asks without ever being interrupted; gives the reply's text too.
    async fn ask(&self, prompt: &str, stop_after: Option<u64>) -> (Outcome, String) {
        self.ask_until(prompt, stop_after, pending()).await
    }

    async fn ask_until(
        &self,
        prompt: &str,
        stop_after: Option<u64>,
        interrupt: impl Future<Output = ()> + Send + 'static,
    ) -> (Outcome, String) {
        let mut text = String::new();
        let show = |token: &str| -> io::Result<()> {
            text.push_str(token);
            Ok(())
        };
        let wish = Wish { prompt: prompt.to_owned(), stop_after };
        let outcome = within(ask(&self.gateway, wish, interrupt, show)).await;
        (outcome, text)
    }

    /// The reports of gateway, agent and model on one reply.
    async fn hops(&mut self) -> [Report; 3] {
        let mut hops = Vec::new();
        for _ in 0..3 {
            hops.push(within(self.reports.recv()).await.expect("a report"));
        }
        [GATEWAY, AGENT, MODEL].map(|service| {
            let at = hops.iter().position(|hop| hop.service == service).expect("a report of each");
            hops.swap_remove(at)
        })
    }
}

/// What a report says of a cancel: code, side, path.
fn seen(report: &Report) -> (Option<Code>, Option<Side>, Option<String>) {
    let error = report.ended.as_ref().expect_err("canceled");
    let side = error.stream().and_then(kitex::StreamError::side);
    (error.code(), side, error.path().map(ToString::to_string))
}

/// The built-in model at a pace at which nothing is long ahead of anything.
fn model() -> Ngram {
    Ngram::new().with_seed(7).with_interval(Duration::from_millis(1))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("done within a minute")
}
