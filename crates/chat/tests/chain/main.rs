//! Tests of the chain: in one process, and as separate processes. No test depends on elapsed time: each ends
//! by an event or fails after a minute.

mod cancel;
mod deploy;
mod emulator;
#[path = "../models/endpoint.rs"]
#[allow(dead_code, reason = "the tests of the models need more of it")]
mod endpoint;
mod ends;
mod http;
mod keep;
mod openai;
mod process;
mod program;
mod served;
mod slow_watcher;
mod telemetry;
mod terminal;
mod watch;

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chat::chain::Chain;
use chat::model::{Model, Ngram};
use chat::next::Next;
use chat::proto::Proto;
use chat::report::{Report, Reports};
use chat::service::{AGENT, DEFAULT_LIMIT, GATEWAY, MODEL, ModelService, Transcripts, USER};
use chat::user::{Outcome, Wish, ask};
use kitex::{Code, Side};
use tokio::sync::mpsc::Receiver;

/// A running chain, and its reports.
struct Running {
    gateway: Next,
    reports: Receiver<Report>,
    _chain: Chain,
}

impl Running {
    async fn start(model: impl Model) -> Self {
        Self::over(Proto::Tt, model).await
    }

    async fn over(proto: Proto, model: impl Model) -> Self {
        Self::made(proto, Arc::new(model), Transcripts::none(), DEFAULT_LIMIT).await
    }

    async fn with(model: Arc<dyn Model>, transcripts: Transcripts, limit: u64) -> Self {
        Self::made(Proto::Tt, model, transcripts, limit).await
    }

    async fn made(proto: Proto, model: Arc<dyn Model>, transcripts: Transcripts, limit: u64) -> Self {
        let (reports, listener) = Reports::channel();
        let service = ModelService::new(model, transcripts, reports.clone());
        let chain = Chain::start(service, limit, proto, &reports).await.expect("free ports");
        let gateway = Next::over(proto, USER, GATEWAY, &chain.gateway.to_string()).expect("an address");
        Self { gateway, reports: listener, _chain: chain }
    }

    /// Asks without an interrupt; also returns the reply's text.
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

    /// Returns the reports of gateway, agent and model for one reply.
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

/// Returns code, side and path of a report's cancel.
fn seen(report: &Report) -> (Option<Code>, Option<Side>, Option<String>) {
    let error = report.ended.as_ref().expect_err("canceled");
    (error.code(), error.side(), error.path().map(ToString::to_string))
}

/// Returns the built-in model at a slow pace, so that all hops stay in step.
fn model() -> Ngram {
    Ngram::new().with_seed(7).with_interval(Duration::from_millis(1))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("done within a minute")
}
