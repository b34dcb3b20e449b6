//! The services as three processes: the output of each when another one, or the client, is killed or stopped.

use std::fs;

use serde_json::{Value, json};

use crate::keep::folder;
use crate::process::{Process, chat, run};

/// The processes of gateway, agent and model, and the gateway's address.
struct Services {
    gateway: Process,
    agent: Process,
    model: Process,
    address: String,
}

impl Services {
    /// Starts the services, the model with these arguments.
    async fn start(words: &[&str]) -> Self {
        let (model, next) = Process::serve(&[&["model", "--seed", "7"], words].concat()).await;
        let (agent, next) = Process::serve(&["agent", "--next", &next]).await;
        let (gateway, address) = Process::serve(&["gateway", "--next", &next]).await;
        Self { gateway, agent, model, address }
    }

    fn ask(&self, words: &[&str]) -> tokio::process::Command {
        chat(&[&["ask", "why is the sky blue?", "--addr", &self.address], words].concat())
    }

    /// Starts a client that has received the beginning of a reply.
    async fn reader(&self) -> Process {
        let mut user = Process::start(self.ask(&[]));
        assert_eq!(user.read(3).await, "The");
        user
    }

    /// Checks that gateway, agent and model report a canceled reply, with this code and these paths.
    async fn assert_canceled(&mut self, code: i32, paths: [Value; 3]) {
        let hops = [(&mut self.gateway, "client"), (&mut self.agent, "client"), (&mut self.model, "server")];
        for ((process, side), path) in hops.into_iter().zip(paths) {
            let line = process.json().await;
            assert_eq!((&line["end"], &line["code"]), (&json!("canceled"), &json!(code)), "{line}");
            assert_eq!((&line["side"], &line["path"]), (&json!(side), &path), "{line}");
            if side == "server" {
                assert_eq!(line["late"], 0, "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_killed_client_cancels_the_whole_chain() {
    let mut services = Services::start(&["--interval", "100"]).await;
    let mut user = services.reader().await;
    user.signal("KILL").await;
    user.ended().await;
    let paths = [Value::Null, json!(["gateway"]), json!(["gateway", "agent"])];
    services.assert_canceled(12013, paths).await;
}

#[tokio::test]
async fn ctrl_c_of_a_client_is_in_the_cancel_path_of_every_hop() {
    let mut services = Services::start(&["--interval", "100"]).await;
    let user = services.reader().await;
    user.signal("INT").await;
    let (status, _, err) = user.rest().await;
    assert_eq!(status.code(), Some(130));
    assert!(err.contains(": interrupted.\n") && err.contains("  user     client  12007 "), "{err}");
    let paths = [json!(["user"]), json!(["user", "gateway"]), json!(["user", "gateway", "agent"])];
    services.assert_canceled(12007, paths).await;
}

#[tokio::test]
async fn a_killed_service_is_named_to_the_user() {
    let mut services = Services::start(&["--interval", "100"]).await;
    let user = services.reader().await;
    services.model.signal("KILL").await;
    let (status, _, err) = user.rest().await;
    assert_eq!(status.code(), Some(1));
    assert!(err.starts_with("chat: agent got no whole reply from model at 127.0.0.1:"), "{err}");
    assert!(err.ends_with("): check that model still runs, and ask again\n"), "{err}");
    for process in [&mut services.gateway, &mut services.agent] {
        let line = process.json().await;
        assert_eq!(line["end"], "failed", "{line}");
    }
    // The next question gets the same error, until the model is back.
    let ended = run(services.ask(&[])).await;
    assert!(ended.err.starts_with("chat: agent cannot reach model at 127.0.0.1:"), "{}", ended.err);
}

#[tokio::test]
async fn graceful_shutdown_of_the_model_writes_the_transcript() {
    for signal in ["INT", "TERM"] {
        let folder = folder(&format!("stopped-{signal}"));
        let transcripts = folder.to_str().expect("text");
        let words = ["--interval", "100", "--exit-wait", "0", "--transcripts", transcripts];
        let mut services = Services::start(&words).await;
        let user = services.reader().await;
        services.model.signal(signal).await;
        let line = services.model.json().await;
        assert_eq!(services.model.ended().await.code(), Some(0));
        let file = line["file"].as_str().expect("a file");
        let transcript: Value = serde_json::from_slice(&fs::read(file).expect("a transcript")).expect("JSON");
        assert_eq!((&transcript["whole"], &transcript["tokens"]), (&json!(false), &line["tokens"]));
        assert!(transcript["reply"].as_str().expect("text").starts_with("The"), "{transcript}");
        assert_eq!(user.rest().await.0.code(), Some(1));
    }
}

#[tokio::test]
async fn graceful_shutdown_of_the_model_completes_its_reply() {
    let mut services = Services::start(&["--interval", "5"]).await;
    let user = services.reader().await;
    services.model.signal("TERM").await;
    let (status, _, err) = user.rest().await;
    assert!(status.success() && err.starts_with("\nComplete: "), "{err}");
    assert_eq!(services.model.json().await["end"], "complete");
    assert_eq!(services.model.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_complete_reply_prints_a_line_at_every_hop() {
    let mut services = Services::start(&["--interval", "1"]).await;
    let ended = run(services.ask(&[])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let summary = ended.err.lines().last().expect("a summary");
    for process in [&mut services.gateway, &mut services.agent, &mut services.model] {
        let line = process.json().await;
        assert_eq!((&line["end"], &line["code"]), (&json!("complete"), &Value::Null), "{line}");
        assert!(summary.starts_with(&format!("Complete: {} tokens in ", line["tokens"])), "{summary}");
    }
}

#[tokio::test]
async fn a_service_prints_readable_lines() {
    let canceled =
        ("model: canceled after 3 tokens: code 12007, server side, path user; ", " after the cancel");
    let rows: [(_, &[&str], _); 2] =
        [("100", &["--stop-after", "3"], canceled), ("0", &[], ("model: complete after ", " tokens"))];
    for (interval, stop, (start, end)) in rows {
        let words = ["serve", "model", "--addr", "127.0.0.1:0", "--interval", interval];
        let mut model = Process::start(chat(&words));
        let greeting = model.line().await.expect("a greeting");
        let address = greeting.strip_prefix("model listens on ").expect(&greeting);
        let address = address.strip_suffix(": the built-in n-gram model").expect(&greeting);
        // Each service has the same API, so the model can be asked directly.
        run(chat(&[&["ask", "hello", "--addr", address], stop].concat())).await;
        let line = model.line().await.expect("a line");
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    }
}
