//! `chat serve http`: the gateway for browsers, alone.

use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

use super::args::{AGENT_ADDRESS, Done, Failure, ProtoArgs};
use super::signal::stopped;
use crate::http::{HttpConfig, HttpGateway, Scene};
use crate::report::Reports;
use crate::service::GATEWAY;
use crate::telemetry::Telemetry;

/// Where browsers find the gateway.
pub(super) const HTTP_ADDRESS: &str = "127.0.0.1:8080";
/// See `--keep-alive`.
pub(super) const KEEP_ALIVE: u64 = 15_000;

/// The words of `chat serve http`.
#[derive(Debug, Args)]
pub(super) struct HttpArgs {
    /// Address to listen on.
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_ADDRESS)]
    addr: String,
    /// Address of the agent.
    #[arg(long, value_name = "HOST:PORT", default_value = AGENT_ADDRESS)]
    next: String,
    #[command(flatten)]
    transport: ProtoArgs,
    /// A service of the chain and the address of its --inspect, for the tree; once for each.
    #[arg(long, value_name = "NAME=HOST:PORT", value_parser = pair)]
    service: Vec<(String, String)>,
    /// Milliseconds without a token after which a stream has a comment. A client that vanished is noticed within twice
    /// this time.
    #[arg(long, value_name = "MS", default_value_t = KEEP_ALIVE, value_parser = clap::value_parser!(u64).range(10..))]
    keep_alive: u64,
    /// Milliseconds that replies may go on when the gateway receives a signal to stop.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    exit_wait: u64,
}

fn pair(word: &str) -> Result<(String, String), String> {
    let (name, address) = word.split_once('=').ok_or("give NAME=HOST:PORT")?;
    Ok((name.to_owned(), address.to_owned()))
}

/// Serves until the process receives a signal to stop.
pub(super) async fn run(args: HttpArgs) -> Result<Done, Failure> {
    let HttpArgs { addr, next, transport, service, keep_alive, exit_wait } = args;
    let config = HttpConfig {
        agent: next.clone(),
        proto: transport.proto,
        services: service,
        model: "a model behind the agent".to_owned(),
        keep_alive: Duration::from_millis(keep_alive),
        scene: Scene::default(),
        telemetry: Telemetry::of(GATEWAY)?,
    };
    let listener = bind(&addr).await?;
    println!("http listens on {}: asks agent at {next}", listener.local_addr()?);
    // Reports go to the page; there is no other listener.
    let telemetry = config.telemetry.clone();
    let gateway = HttpGateway::new(config, Reports::channel().0)?;
    gateway.serve(listener, stopped(), Duration::from_millis(exit_wait)).await?;
    telemetry.end().await;
    Ok(Done::Well)
}

/// Binds the address for browsers.
pub(super) async fn bind(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}: stop the other process or choose another port").into()
    })
}
