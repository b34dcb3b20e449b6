//! `chat serve`: one of the services alone. Prints a line for each reply.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use kitex::server::{Server, ServerBuilder};
use serde_json::json;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::args::{AGENT_ADDRESS, Done, Failure, ModelArgs, ProtoArgs, inspect_listener, inspected};
use super::signal::stopped;
use crate::api::Chat;
use crate::line;
use crate::report::{Report, Reports};
use crate::service::{AGENT, Agent, DEFAULT_LIMIT, GATEWAY, Gateway, MODEL, RETRIEVER, Retriever, server};
use crate::telemetry::Telemetry;

pub(super) const GATEWAY_ADDRESS: &str = "127.0.0.1:7001";
const MODEL_ADDRESS: &str = "127.0.0.1:7003";
const RETRIEVER_ADDRESS: &str = "127.0.0.1:7004";

/// The arguments of `chat serve`.
#[derive(Debug, Subcommand)]
pub(super) enum Service {
    /// The gateway for programs, which `chat ask` asks.
    Gateway {
        /// Address to listen on.
        #[arg(long, value_name = "HOST:PORT", default_value = GATEWAY_ADDRESS)]
        addr: String,
        /// Address of the agent.
        #[arg(long, value_name = "HOST:PORT", default_value = AGENT_ADDRESS)]
        next: String,
        #[command(flatten)]
        transport: ProtoArgs,
        #[command(flatten)]
        terms: Terms,
    },
    /// The gateway for browsers: the page, chats as event streams, OpenAI's chat completions.
    Http(super::http::HttpArgs),
    /// Prepares questions and ends replies that are too long.
    Agent {
        /// Address to listen on.
        #[arg(long, value_name = "HOST:PORT", default_value = AGENT_ADDRESS)]
        addr: String,
        /// Address of the model.
        #[arg(long, value_name = "HOST:PORT", default_value = MODEL_ADDRESS)]
        next: String,
        /// Address of the retriever; without one there is no second branch.
        #[arg(long, value_name = "HOST:PORT")]
        retriever: Option<String>,
        /// The largest number of tokens of a reply.
        #[arg(long, value_name = "TOKENS", default_value_t = DEFAULT_LIMIT)]
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        max_tokens: u64,
        #[command(flatten)]
        transport: ProtoArgs,
        #[command(flatten)]
        terms: Terms,
    },
    /// Finds passages that are about the question, beside the model.
    Retriever {
        /// Address to listen on.
        #[arg(long, value_name = "HOST:PORT", default_value = RETRIEVER_ADDRESS)]
        addr: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// The model.
    Model {
        /// Address to listen on.
        #[arg(long, value_name = "HOST:PORT", default_value = MODEL_ADDRESS)]
        addr: String,
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        terms: Terms,
    },
}

impl Service {
    /// Returns the name of the service.
    const fn name(&self) -> &'static str {
        match self {
            Self::Gateway { .. } | Self::Http(_) => GATEWAY,
            Self::Agent { .. } => AGENT,
            Self::Retriever { .. } => RETRIEVER,
            Self::Model { .. } => MODEL,
        }
    }
}

/// The arguments of all services.
#[derive(Clone, Debug, Args)]
pub(super) struct Terms {
    /// Print each line as a JSON object.
    #[arg(long)]
    json: bool,
    /// Graceful shutdown: milliseconds that running replies may take to complete.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    exit_wait: u64,
    /// Answer HTTP requests to this address with the open streams and the last cancels: /streams as JSON,
    /// /streams/watch and /reports as event streams, /metrics for Prometheus, /healthz.
    #[arg(long, value_name = "HOST:PORT")]
    inspect: Option<String>,
    /// Stop at the end of the standard input: when the program that started this one is gone.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// Serves until the process is stopped, then shuts down gracefully.
pub(super) async fn run(service: Service) -> Result<Done, Failure> {
    if let Service::Http(args) = service {
        return super::http::run(args).await;
    }
    let (reports, listener) = Reports::channel();
    let telemetry = Telemetry::of(service.name())?;
    let (server, greeting, Terms { json, inspect, until_stdin_ends, .. }) =
        start(service, reports.clone(), &telemetry).await?;
    let inspect = inspect_listener(inspect.as_deref()).await?;
    let inspected_at = inspect.as_ref().and_then(|listener| listener.local_addr().ok());
    if let Some(address) = inspected_at.filter(|_| !json) {
        eprintln!("inspect: http://{address}/");
    }
    let serving = async {
        print(&greeting.line(&server, inspected_at, json));
        tokio::task::spawn_blocking(move || print_all(listener, json));
        let stop = async {
            tokio::select! {
                () = stopped() => {}
                () = stdin_ends(), if until_stdin_ends => {}
            }
        };
        server.serve_until(stop).await;
        telemetry.clone().end().await;
        Ok(Done::Well)
    };
    inspected(inspect, reports, Some(telemetry.clone()), serving).await
}

/// On a thread of its own, which does not hold up the end of the process as the runtime's would.
async fn stdin_ends() {
    let (end, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = end.send(());
    });
    let _ = ended.await;
}

async fn start(
    service: Service,
    reports: Reports,
    telemetry: &Telemetry,
) -> Result<(Server, Greeting, Terms), Failure> {
    Ok(match service {
        Service::Gateway { addr, next, transport, terms } => {
            let agent = telemetry.next(transport.proto, GATEWAY, AGENT, &next)?;
            let server = terms.server(telemetry, GATEWAY, Gateway::new(agent, reports)).bind(&addr).await?;
            (server, Greeting::asks(GATEWAY, AGENT, &next), terms)
        }
        Service::Http(_) => return Err("the HTTP gateway is no RPC service".into()),
        Service::Agent { addr, next, retriever, max_tokens, transport, terms } => {
            let model = telemetry.next(transport.proto, AGENT, MODEL, &next)?;
            let mut agent = Agent::new(model, max_tokens, reports);
            let mut greeting = Greeting::asks(AGENT, MODEL, &next);
            if let Some(address) = retriever {
                let retriever = telemetry.next(transport.proto, AGENT, RETRIEVER, &address)?;
                agent = agent.with_retriever(retriever);
                greeting.about += &format!(", {RETRIEVER} at {address}");
            }
            let server = terms.server(telemetry, AGENT, agent).bind(&addr).await?;
            (server, greeting, terms)
        }
        Service::Retriever { addr, terms } => {
            let server = terms.server(telemetry, RETRIEVER, Retriever::new(reports)).bind(&addr).await?;
            (server, Greeting { service: RETRIEVER, about: "the built-in essays".to_owned() }, terms)
        }
        Service::Model { addr, model, terms } => {
            let (service, about) = model.service(reports)?;
            let server = terms.server(telemetry, MODEL, service).bind(&addr).await?;
            (server, Greeting { service: MODEL, about }, terms)
        }
    })
}

impl Terms {
    fn server(&self, telemetry: &Telemetry, name: &'static str, handler: impl Chat) -> ServerBuilder {
        telemetry.server(server(name, handler)).exit_wait(Duration::from_millis(self.exit_wait))
    }
}

/// The first line: the service and its address, and the next service.
struct Greeting {
    service: &'static str,
    about: String,
}

impl Greeting {
    fn asks(service: &'static str, next: &str, address: &str) -> Self {
        Self { service, about: format!("asks {next} at {address}") }
    }

    fn line(&self, server: &Server, inspect: Option<SocketAddr>, json: bool) -> String {
        let Self { service, about } = self;
        let address = server.local_addr();
        if json {
            let (address, inspect) = (address.to_string(), inspect.map(|address| address.to_string()));
            return json!({
                "ev": "listening", "service": service, "address": address, "inspect": inspect, "about": about,
            })
            .to_string();
        }
        format!("{service} listens on {address}: {about}")
    }
}

/// Prints on a thread of its own: a blocked terminal must not block the service.
fn print_all(mut listener: Receiver<Report>, json: bool) {
    while let Some(report) = listener.blocking_recv() {
        print(&if json { line::json(&report).to_string() } else { line::text(&report) });
    }
}

fn print(line: &str) {
    let mut out = io::stdout().lock();
    // The reader has closed the output: ignored.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
