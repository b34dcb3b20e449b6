//! The program as a process: its arguments, output and exit.

use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::within;

/// The output and exit status of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Returns `chat` with these arguments, and without environment variables that affect it.
pub(crate) fn chat(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    for name in [
        "OPENAI_BASE_URL",
        "OPENAI_API_KEY",
        "OPENAI_MODEL",
        "NO_COLOR",
        "TERM",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        command.env_remove(name);
    }
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it until it exits.
pub(crate) async fn run(mut command: Command) -> Ended {
    let output = within(command.output()).await.expect("a program");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A process that runs until it is stopped.
pub(crate) struct Process {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("a program");
        let out = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, out }
    }

    /// Starts a service alone; returns it and its address.
    pub(crate) async fn serve(words: &[&str]) -> (Self, String) {
        let words = [&["serve"], words, &["--addr", "127.0.0.1:0", "--json"]].concat();
        let mut process = Self::start(chat(&words));
        let line = process.json().await;
        assert_eq!(line["ev"], "listening", "{line}");
        (process, line["address"].as_str().expect("an address").to_owned())
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        within(self.out.next_line()).await.expect("text")
    }

    pub(crate) async fn json(&mut self) -> Value {
        let line = self.line().await.expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Reads until there are `len` bytes of output, for text without line ends.
    pub(crate) async fn read(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        within(self.out.get_mut().read_exact(&mut bytes)).await.expect("output");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Writes all of its input.
    pub(crate) async fn write(&mut self, text: &str) {
        let mut stdin = self.child.stdin.take().expect("piped");
        within(stdin.write_all(text.as_bytes())).await.expect("a reader");
    }

    /// Sends the signal `name`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("a process that runs").to_string();
        let status = within(Command::new("kill").args(["-s", name, &id]).status()).await;
        assert!(status.expect("kill").success());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within(self.child.wait()).await.expect("an end")
    }

    /// Returns the rest of its output, and its exit status.
    pub(crate) async fn rest(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        let mut stderr = self.child.stderr.take().expect("piped");
        let (out_read, err_read) = within(async {
            tokio::join!(self.out.get_mut().read_to_string(&mut out), stderr.read_to_string(&mut err))
        })
        .await;
        out_read.and(err_read).expect("text");
        (self.ended().await, out, err)
    }
}
