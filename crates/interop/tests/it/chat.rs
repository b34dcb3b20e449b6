//! The chat with a Kitex service in its middle: gateway (Rust) -> agent (Kitex) -> model (Rust). A stop cancels the model,
//! and each hop knows who it was as far as Kitex says it.

use std::sync::Arc;
use std::time::Duration;

use chat::api::{ChatClient, Question};
use chat::model::Ngram;
use chat::next::Next;
use chat::options::ReplyOptions;
use chat::proto::Proto;
use chat::report::{Report, Reports};
use chat::service::{AGENT, GATEWAY, Gateway, MODEL, ModelService, Transcripts, USER, server};
use kitex::{Context, ErrorKind, Server};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use crate::peer::Peer::Go;
use crate::peer::{Process, free_address, go_is_here, older_kitex};

/// Who stops: the user, or the gateway's own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    User,
    Gateway,
}

/// The transport, who stops, and where: the errors of the model and of the Kitex agent. gRPC has no path with Kitex in the
/// middle: each hop knows the one before.
const ROWS: [(Proto, By, [&str; 2]); 4] = [
    (
        Proto::Tt,
        By::User,
        [
            "12007] [server-side stream] [canceled path: user -> gateway -> agent]",
            "12007] [client-side stream] [canceled path: user -> gateway]",
        ],
    ),
    (
        Proto::Tt,
        By::Gateway,
        [
            "12007] [server-side stream] [canceled path: gateway -> agent]",
            "12007] [client-side stream] [canceled path: gateway]",
        ],
    ),
    (Proto::Grpc, By::User, BY_GRPC),
    (Proto::Grpc, By::Gateway, BY_GRPC),
];

const BY_GRPC: [&str; 2] = ["CANCEL [triggered by agent]", "CANCEL [triggered by gateway]"];

struct Chain {
    agent: Process,
    /// To the gateway, or to the agent as the gateway.
    client: ChatClient,
    reports: Receiver<Report>,
}

fn serve(server: Server) -> String {
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    address
}

impl Chain {
    async fn start(proto: Proto, by: By) -> Self {
        let (reports, receiver) = Reports::channel();
        let model = Arc::new(Ngram::new().with_interval(Duration::from_millis(5)));
        let model = ModelService::new(model, Transcripts::none(), reports.clone());
        let model = serve(server(MODEL, model).bind("127.0.0.1:0").await.unwrap());
        let address = free_address();
        let over = if proto == Proto::Grpc { "grpc" } else { "tt" };
        let words = format!(
            "chatagent --addr {address} --name {AGENT} --nextname {MODEL} --next {model} --proto {over}"
        );
        let agent = Process::start(Go, &words);
        assert!(agent.listens(), "{agent:?}");
        let next = Next::over(proto, GATEWAY, AGENT, &address).unwrap();
        let client = match by {
            By::Gateway => next,
            By::User => {
                let gateway = server(GATEWAY, Gateway::new(next, reports)).bind("127.0.0.1:0").await.unwrap();
                Next::over(proto, USER, GATEWAY, &serve(gateway)).unwrap()
            }
        };
        Self { agent, client: client.client().clone(), reports: receiver }
    }

    /// Returns the report of a service.
    async fn report(&mut self, service: &str) -> Report {
        let report = async {
            loop {
                let report = self.reports.recv().await.expect("the services run");
                if report.service == service {
                    return report;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), report).await.expect("every hop ends")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_the_gateway_cancels_the_model_behind_a_kitex_agent() {
    if !go_is_here() || older_kitex().is_some() {
        return;
    }
    for (proto, by, [at_model, at_agent]) in ROWS {
        let what = format!("{proto:?}, {by:?}");
        let mut chain = Chain::start(proto, by).await;
        let (ctx, canceler) = Context::background().with_cancel();
        let options = ReplyOptions { length: Some(100_000), ..ReplyOptions::default() };
        let question = Question { prompt: "why is the sky blue?".into() };
        let mut reply = chain.client.ask(&options.set(&ctx), question).await.unwrap();
        for _ in 0..5 {
            assert!(reply.recv().await.unwrap().is_some(), "{what}");
        }
        canceler.cancel();
        let error = reply.recv().await.unwrap_err();
        assert!(error.is_canceled(), "{what}: {error}");

        if by == By::User {
            let error = chain.report(GATEWAY).await.ended.unwrap_err();
            assert!(error.is_canceled(), "{what}: {error}");
            assert_eq!(error.path().map(ToString::to_string).as_deref(), Some("user"), "{what}");
        }
        let model = chain.report(MODEL).await;
        let error = model.ended.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Canceled, "{what}: {error}");
        assert!(error.to_string().contains(at_model), "{what}: {error}");
        assert_eq!(model.work.expect("the model's").late, 0, "{what}: tokens after the cancel");
        let lines: Vec<Value> = chain.agent.take(1);
        assert!(lines[0]["err"].as_str().unwrap().contains(at_agent), "{what}: {lines:?}");
    }
}
