//! The program and a chain of services, each a process: `--once` as text and JSON, filters, cascades.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The services, and the addresses of their inspection.
struct Chain {
    gateway: String,
    inspect: Vec<(&'static str, String)>,
    _processes: Vec<Child>,
}

fn services() -> Command {
    let tests = std::env::current_exe().expect("a test");
    let built: PathBuf = tests.ancestors().nth(2).expect("a folder").join("examples/services");
    assert!(built.exists(), "examples are not built: run cargo build -p kitex-top --examples");
    let mut command = Command::new(built);
    command.env_remove("OPENAI_BASE_URL").stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

impl Chain {
    async fn start() -> Self {
        let mut chain = Self { gateway: String::new(), inspect: Vec::new(), _processes: Vec::new() };
        let model = chain.serve("model", &["--interval", "50"]).await;
        let agent = chain.serve("agent", &["--next", &model]).await;
        chain.gateway = chain.serve("gateway", &["--next", &agent]).await;
        chain
    }

    async fn serve(&mut self, service: &'static str, words: &[&str]) -> String {
        let mut command = services();
        command
            .args(["serve", service, "--addr", "127.0.0.1:0", "--inspect", "127.0.0.1:0", "--json"])
            .args(words);
        let mut process = command.spawn().expect("a program");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let line = within(lines.next_line()).await.expect("text").expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        self.inspect.push((service, line["inspect"].as_str().expect("an address").to_owned()));
        tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
        self._processes.push(process);
        line["address"].as_str().expect("an address").to_owned()
    }

    /// Runs the program; returns its exit status, output and errors.
    async fn top(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let services = self.inspect.iter().map(|(name, address)| format!("{name}={address}"));
        let services: Vec<String> = services.collect();
        top(&[words, &services.iter().map(String::as_str).collect::<Vec<_>>()].concat()).await
    }

    /// Repeats `--once --json` until `holds`.
    async fn until(&self, words: &[&str], holds: impl Fn(&Value) -> bool) -> Value {
        let wait = ["--once", "--json", "--wait", "30000"];
        within(async {
            loop {
                let (code, out, err) = self.top(&[&wait[..], words].concat()).await;
                assert_eq!(code, Some(0), "{err}");
                let seen: Value = serde_json::from_str(&out).expect("JSON");
                if holds(&seen) {
                    return seen;
                }
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

async fn top(words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kitex-top"));
    let output = within(command.args(words).stdin(Stdio::null()).output()).await.expect("a program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work).await.expect("done within a minute")
}

/// The processes of a tree that does not branch.
fn line(tree: &Value) -> Vec<String> {
    let mut line = Vec::new();
    let mut node = tree;
    while node.is_object() {
        line.push(format!(
            "{} {}",
            node["process"].as_str().unwrap_or_default(),
            node["side"].as_str().unwrap_or_default()
        ));
        node = &node["children"][0];
    }
    line
}

#[tokio::test]
async fn once_shows_the_tree_over_all_processes_and_then_its_cascade() {
    let chain = Chain::start().await;
    let empty = chain.until(&[], |_| true).await;
    assert!(
        empty["services"].as_array().is_some_and(|up| up.len() == 3 && up.iter().all(|s| s["state"] == "up"))
    );

    let mut ask = services();
    let mut user =
        ask.args(["ask", "hello", "--addr", &chain.gateway]).stderr(Stdio::null()).spawn().expect("a user");
    let mut first = [0];
    within(user.stdout.as_mut().expect("piped").read_exact(&mut first)).await.expect("a token");
    let whole = ["gateway server", "gateway client", "agent server", "agent client", "model server"];
    let open = chain.until(&["--service", "MODEL"], |seen| line(&seen["streams"][0]) == whole).await;
    assert_eq!(open["streams"].as_array().map(Vec::len), Some(1), "{open}");
    let none = chain.until(&["--service", "retriever"], |_| true).await;
    assert_eq!((&none["streams"], &none["cascades"]), (&Value::Array(Vec::new()), &Value::Array(Vec::new())));
    let (_, text, _) = chain.top(&["--once", "--wait", "30000"]).await;
    assert!(
        text.contains("\ngateway ") && text.contains("└ model") && text.contains("server Chat.Ask"),
        "{text}"
    );

    let id = user.id().expect("a process that runs").to_string();
    within(Command::new("kill").args(["-s", "INT", &id]).status()).await.expect("kill");
    let hops = |seen: &Value| {
        seen["cascades"]
            .as_array()
            .map_or(0, |all| all.iter().map(|one| one["hops"].as_array().map_or(0, Vec::len)).sum::<usize>())
    };
    let ended = chain.until(&[], |seen| hops(seen) == 3).await;
    for cascade in ended["cascades"].as_array().expect("cascades") {
        for hop in cascade["hops"].as_array().expect("hops") {
            assert!(hop["code"] == 12007 && hop["took_us"].is_u64() && hop["path"][0] == "user", "{hop}");
        }
    }
    assert_eq!(ended["streams"], Value::Array(Vec::new()));
    let (_, text, _) = chain.top(&["--once", "--wait", "30000"]).await;
    assert!(text.contains("user -> gateway -> agent") && text.contains(" µs "), "{text}");
}

#[tokio::test]
async fn once_reports_services_that_do_not_answer_in_one_line() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = silent.local_addr().map(|address| address.to_string()).expect("bound");
    let rows: [(&[&str], i32, &str); 6] = [
        (
            &["--once", "--wait", "3000", "127.0.0.1:1"],
            1,
            "kitex-top: 127.0.0.1:1 at 127.0.0.1:1: Connection refused",
        ),
        (&["--once", "--wait", "200", &format!("m={silent}")], 1, "has not answered"),
        (&["--once", "a=h:1", "a=h:2"], 1, "kitex-top: a is given twice"),
        (&["--once", "nowhere"], 2, "give HOST:PORT or NAME=HOST:PORT"),
        (&["--json", "h:1"], 2, "--once"),
        (&["h:1"], 1, "kitex-top: the standard output is no terminal: use --once"),
    ];
    for (words, code, text) in rows {
        let (ended, _, err) = top(words).await;
        assert!(ended == Some(code) && err.contains(text), "{words:?}: {ended:?} {err}");
    }
}
