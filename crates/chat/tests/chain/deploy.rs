//! The commands of `compose.yaml` as plain processes, and the curl examples of `docs/chat.md` against them.

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::chat;
use crate::within;

pub(crate) const COMPOSE: &str = include_str!("../../../../compose.yaml");
const STORY: &str = include_str!("../../../../docs/chat.md");

/// A service of the file: its name, and the lines of its block.
pub(crate) type Service = (&'static str, Vec<&'static str>);

/// Returns the services of the file, those that are images of others too.
pub(crate) fn services() -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    let text = COMPOSE.split_once("\nservices:\n").expect("services").1;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            Some(name) => services.push((name.trim_end_matches(':'), Vec::new())),
            None => services.last_mut().expect("a service").1.push(line),
        }
    }
    services
}

/// Returns the names of the chat's own services and the words of their commands.
pub(crate) fn commands() -> Vec<(&'static str, Vec<&'static str>)> {
    let own = services().into_iter().filter(|(_, lines)| lines.contains(&"    <<: *chat"));
    own.map(|(name, lines)| {
        let mut lines = lines.into_iter().skip_while(|line| !line.starts_with("    command:"));
        let first = lines.next().expect("a command").trim_start_matches("    command:");
        let more = lines.take_while(|line| line.starts_with("      "));
        (
            name,
            [first]
                .into_iter()
                .chain(more)
                .flat_map(str::split_whitespace)
                .filter(|word| *word != ">-")
                .collect(),
        )
    })
    .collect()
}

/// The chat's services as plain processes, with a free port for each port of each service.
pub(crate) struct Composed {
    ports: HashMap<(String, String), String>,
    processes: Vec<(&'static str, Child)>,
}

impl Composed {
    /// Starts them with this environment, and waits until each listens.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        let mut composed = Self { ports: HashMap::new(), processes: Vec::new() };
        for (service, words) in commands() {
            let words: Vec<String> = words.iter().map(|word| composed.local(service, word)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut command = chat(&words);
            command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::inherit());
            composed.processes.push((service, command.spawn().expect("a program")));
        }
        for address in composed.ports.values() {
            within(async {
                while TcpStream::connect(address).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
        composed
    }

    /// Returns where a port of a service is.
    pub(crate) fn address(&self, service: &str, port: &str) -> &str {
        &self.ports[&(service.to_owned(), port.to_owned())]
    }

    /// `service:port`, or `0.0.0.0:port` of `own`, as an address of this machine.
    fn local(&mut self, own: &str, word: &str) -> String {
        let (name, address) = word.split_once('=').map_or(("", word), |(name, address)| (name, address));
        let port = |port: &str| port.len() == 4 && port.bytes().all(|b| b.is_ascii_digit());
        let Some((host, port)) = address.split_once(':').filter(|(_, rest)| port(rest)) else {
            return word.to_owned();
        };
        let host = if host == "0.0.0.0" { own } else { host };
        let free =
            || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
        let local = self.ports.entry((host.to_owned(), port.to_owned())).or_insert_with(free);
        if name.is_empty() { local.clone() } else { format!("{name}={local}") }
    }

    /// Stops them as containers are stopped: by SIGTERM.
    pub(crate) async fn stop(self) {
        for (service, mut process) in self.processes {
            let id = process.id().expect("a process that runs").to_string();
            within(Command::new("kill").args(["-s", "TERM", &id]).status()).await.expect("kill");
            let status = within(process.wait()).await.expect("an end");
            assert!(status.success(), "{service}: {status}");
        }
    }
}

#[tokio::test]
async fn the_commands_of_compose_start_a_chain_that_the_curl_examples_can_ask() {
    assert_eq!(commands().len(), 5);
    let composed = Composed::start(&[]).await;
    let http = composed.address("http", "8080");
    let examples: Vec<&str> = STORY.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(examples.len(), 7);
    for example in examples {
        check(&example.replace("127.0.0.1:8080", http)).await;
    }
    composed.stop().await;
}

/// Runs an example until it has printed what it says. Some of the streams have no end.
async fn check(example: &str) {
    let (command, prints) = example.split_once("   # prints: ").expect("what it prints");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("exec {command}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut shell = shell.spawn().expect("a shell");
    let (mut out, mut err) = (shell.stdout.take().expect("piped"), shell.stderr.take().expect("piped"));
    let (mut printed, mut chunk) = (String::new(), [0; 4096]);
    while !printed.contains(prints) {
        let len = within(out.read(&mut chunk)).await.expect("output");
        if len == 0 {
            break;
        }
        printed.push_str(&String::from_utf8_lossy(&chunk[..len]));
    }
    if !printed.contains(prints) {
        let mut errors = String::new();
        within(err.read_to_string(&mut errors)).await.expect("text");
        if errors.contains("curl: not found") {
            eprintln!("there is no curl: {command} is not checked");
            return;
        }
        panic!("{command}: {printed}{errors}");
    }
}
