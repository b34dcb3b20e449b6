//! `chat` without a question: the whole scene on one HTTP address. The services are processes of this program, so that
//! one of them can be killed; each is started again when it has ended. They end with this process, however it ends:
//! their standard input does.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::args::{Done, Failure, ModelArgs};
use super::http::{KEEP_ALIVE, bind};
use super::signal::stopped;
use crate::http::{HttpConfig, HttpGateway, Scene};
use crate::proto::Proto;
use crate::report::Reports;
use crate::service::{AGENT, GATEWAY, MODEL, RETRIEVER};
use crate::telemetry::Telemetry;

/// How the scene is set.
#[derive(Debug)]
pub(super) struct SceneArgs {
    pub(super) addr: String,
    pub(super) model: ModelArgs,
    pub(super) keep_alive: Option<u64>,
    pub(super) proto: Proto,
}

/// Starts the services and serves the page until the process receives a signal to stop.
pub(super) async fn run(args: SceneArgs) -> Result<Done, Failure> {
    let listener = bind(&args.addr).await?;
    let address = listener.local_addr()?;
    let mut scene = Scene::default();
    let mut keepers = JoinSet::new();
    let mut start = async |name: &str, words: Vec<String>| -> Result<Service, Failure> {
        let service = Service::start(name, &words).await?;
        let (address, inspect, about) =
            (service.address.clone(), service.inspect.clone(), service.about.clone());
        keepers.spawn(keep(service, scene.add(name)));
        Ok(Service { child: None, name: name.to_owned(), words: Vec::new(), address, inspect, about })
    };
    let model = start(MODEL, args.model.words()).await?;
    let retriever = start(RETRIEVER, Vec::new()).await?;
    let words = ["--next", &model.address, "--retriever", &retriever.address, "--max-tokens", MAX_TOKENS];
    let words = words.map(str::to_owned).into_iter().chain(args.proto.words());
    let agent = start(AGENT, words.collect()).await?;

    let services = [&agent, &retriever, &model];
    let config = HttpConfig {
        agent: agent.address.clone(),
        proto: args.proto,
        services: services.map(|service| (service.name.clone(), service.inspect.clone())).to_vec(),
        model: model.about.clone(),
        keep_alive: Duration::from_millis(args.keep_alive.unwrap_or(KEEP_ALIVE)),
        scene,
        telemetry: Telemetry::of(GATEWAY)?,
    };
    eprintln!(
        "browser -> gateway {address} -> agent {} -> model {}: {}",
        agent.address, model.address, model.about
    );
    eprintln!("                                     agent -> retriever {}", retriever.address);
    eprintln!("Open http://{address} in a browser. Ctrl-C ends all of it.");
    let telemetry = config.telemetry.clone();
    let gateway = HttpGateway::new(config, Reports::channel().0)?;
    gateway.serve(listener, stopped(), EXIT_WAIT).await?;
    telemetry.end().await;
    Ok(Done::Well)
}

/// More than a scenario asks for: the agent of the scene sets no limit of its own.
const MAX_TOKENS: &str = "1000000";
const EXIT_WAIT: Duration = Duration::from_secs(2);

/// A service in a process of its own.
struct Service {
    /// The process and its output, while it runs.
    child: Option<(Child, Lines<BufReader<ChildStdout>>)>,
    name: String,
    words: Vec<String>,
    address: String,
    inspect: String,
    about: String,
}

impl Service {
    /// Starts a service on free ports, and waits until it listens.
    async fn start(name: &str, words: &[String]) -> Result<Self, Failure> {
        Self::start_on(name, words, "127.0.0.1:0", "127.0.0.1:0").await
    }

    async fn start_on(name: &str, words: &[String], addr: &str, inspect: &str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", name, "--json", "--until-stdin-ends", "--exit-wait", "500"]);
        command.args(["--addr", addr, "--inspect", inspect]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("a service without output")?;
        let mut out = BufReader::new(out).lines();
        let line = timeout(START, out.next_line()).await.ok().and_then(Result::ok).flatten();
        let line = line.ok_or_else(|| format!("{name} did not start: its own message stands above"))?;
        let greeting: Value = serde_json::from_str(&line)?;
        let word = |key: &str| greeting[key].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            child: Some((child, out)),
            name: name.to_owned(),
            words: words.to_vec(),
            address: word("address"),
            inspect: word("inspect"),
            about: word("about"),
        })
    }

    /// The same service again, on the same ports.
    async fn again(&self) -> Result<Self, Failure> {
        Self::start_on(&self.name, &self.words, &self.address, &self.inspect).await
    }
}

const START: Duration = Duration::from_secs(10);

/// Keeps a service running: starts it again when it has ended, or was killed.
async fn keep(mut service: Service, kill: Arc<Notify>) {
    loop {
        if let Some((mut child, out)) = service.child.take() {
            // `wait` would close it, and the service would stop.
            let _stdin = child.stdin.take();
            tokio::select! {
                _ = child.wait() => {}
                () = drain(out) => {}
                () = kill.notified() => {}
            }
            // It may have ended already.
            let _ = child.kill().await;
        }
        tokio::time::sleep(RESTART).await;
        match service.again().await {
            Ok(started) => service = started,
            Err(error) => eprintln!("chat: {error}"),
        }
    }
}

const RESTART: Duration = Duration::from_secs(1);

/// Reads what a service prints, so that it never waits for a reader.
async fn drain(mut out: Lines<BufReader<ChildStdout>>) {
    while matches!(out.next_line().await, Ok(Some(_))) {}
}
