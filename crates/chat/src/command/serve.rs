//! `chat serve`: one of the services alone. What it sees of each reply is a line.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use kitex::server::{Server, ServerBuilder};
use serde_json::json;
use tokio::sync::mpsc::Receiver;

use super::args::{Done, Failure, ModelArgs, inspected};
use super::line;
use super::signal::stopped;
use crate::api::Chat;
use crate::next::Next;
use crate::report::{Report, Reports};
use crate::service::{AGENT, Agent, DEFAULT_LIMIT, GATEWAY, Gateway, MODEL, server};

pub(super) const GATEWAY_ADDRESS: &str = "127.0.0.1:7001";
const AGENT_ADDRESS: &str = "127.0.0.1:7002";
const MODEL_ADDRESS: &str = "127.0.0.1:7003";

/// The words of `chat serve`.
#[derive(Debug, Subcommand)]
pub(super) enum Service {
    /// The door, which users ask.
    Gateway {
        /// Address to listen on.
        #[arg(long, value_name = "HOST:PORT", default_value = GATEWAY_ADDRESS)]
        addr: String,
        /// Address of the agent.
        #[arg(long, value_name = "HOST:PORT", default_value = AGENT_ADDRESS)]
        next: String,
        #[command(flatten)]
        terms: Terms,
    },
    /// Who prepares questions and ends replies that grow too long.
    Agent {
        /// Address to listen on.
        #[arg(long, value_name = "HOST:PORT", default_value = AGENT_ADDRESS)]
        addr: String,
        /// Address of the model.
        #[arg(long, value_name = "HOST:PORT", default_value = MODEL_ADDRESS)]
        next: String,
        /// Tokens that a reply may have.
        #[arg(long, value_name = "TOKENS", default_value_t = DEFAULT_LIMIT)]
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        max_tokens: u64,
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

/// What all services have in common.
#[derive(Clone, Debug, Args)]
pub(super) struct Terms {
    /// Print each line as a JSON object.
    #[arg(long)]
    json: bool,
    /// Milliseconds that replies may go on when the service is told to stop.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    exit_wait: u64,
    /// Answer every HTTP request to this address with the open streams and the last cancels, as JSON.
    #[arg(long, value_name = "HOST:PORT")]
    inspect: Option<String>,
}

/// Serves until the process is told to stop.
pub(super) async fn run(service: Service) -> Result<Done, Failure> {
    let (reports, listener) = Reports::channel();
    let (server, greeting, Terms { json, inspect, .. }) = start(service, reports).await?;
    let serving = async {
        print(&greeting.line(&server, json));
        tokio::task::spawn_blocking(move || print_all(listener, json));
        server.serve_until(stopped()).await;
        Ok(Done::Well)
    };
    inspected(inspect, serving).await
}

async fn start(service: Service, reports: Reports) -> Result<(Server, Greeting, Terms), Failure> {
    Ok(match service {
        Service::Gateway { addr, next, terms } => {
            let agent = Next::new(GATEWAY, AGENT, &next)?;
            let server = terms.server(GATEWAY, Gateway::new(agent, reports)).bind(&addr).await?;
            (server, Greeting::asks(GATEWAY, AGENT, &next), terms)
        }
        Service::Agent { addr, next, max_tokens, terms } => {
            let model = Next::new(AGENT, MODEL, &next)?;
            let server = terms.server(AGENT, Agent::new(model, max_tokens, reports)).bind(&addr).await?;
            (server, Greeting::asks(AGENT, MODEL, &next), terms)
        }
        Service::Model { addr, model, terms } => {
            let (service, about) = model.service(reports)?;
            let server = terms.server(MODEL, service).bind(&addr).await?;
            (server, Greeting { service: MODEL, about }, terms)
        }
    })
}

impl Terms {
    fn server(&self, name: &'static str, handler: impl Chat) -> ServerBuilder {
        server(name, handler).exit_wait(Duration::from_millis(self.exit_wait))
    }
}

/// The first line: who listens, and whom it will ask.
struct Greeting {
    service: &'static str,
    about: String,
}

impl Greeting {
    fn asks(service: &'static str, next: &str, address: &str) -> Self {
        Self { service, about: format!("asks {next} at {address}") }
    }

    fn line(&self, server: &Server, json: bool) -> String {
        let Self { service, about } = self;
        let address = server.local_addr();
        if json {
            let address = address.to_string();
            return json!({"ev": "listening", "service": service, "address": address, "about": about})
                .to_string();
        }
        format!("{service} listens on {address}: {about}")
    }
}

/// On a thread of its own: a terminal that takes nothing must not stop a service.
fn print_all(mut listener: Receiver<Report>, json: bool) {
    while let Some(report) = listener.blocking_recv() {
        print(&if json { line::json(&report).to_string() } else { line::text(&report) });
    }
}

fn print(line: &str) {
    let mut out = io::stdout().lock();
    // Nobody reads any more: there is nobody to tell.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
