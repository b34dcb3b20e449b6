//! The program with all services in one process: its output, and the exit status.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::keep::folder;
use crate::openai::{answer, piece};
use crate::process::{Process, chat, run};
use crate::within;

/// Returns what is on the standard error after its head, which names the ports.
fn after_head(err: &str) -> &str {
    let (head, rest) = err.split_once("\n\n").expect("a head");
    assert!(head.starts_with("user -> gateway 127.0.0.1:"), "{head}");
    assert!(head.ends_with(": the built-in n-gram model"), "{head}");
    rest
}

#[tokio::test]
async fn a_reply_ends_with_a_summary_line() {
    let ended = run(chat(&["--seed", "3", "--interval", "1", "why is the sky blue?"])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let summary = after_head(&ended.err).strip_prefix('\n').expect("a line between");
    assert!(ended.out.starts_with("The sky is blue because") && ended.out.ends_with(".\n"), "{}", ended.out);
    assert!(summary.starts_with("Complete: ") && summary.lines().count() == 1, "{summary}");
}

#[tokio::test]
async fn a_cancel_prints_the_error_of_each_hop() {
    let words = ["why", "is", "the", "sky", "blue?", "--stop-after", "10", "--seed", "3", "--interval", "50"];
    for proto in ["tt", "grpc", "mixed"] {
        let ended = run(chat(&[&words[..], &["--proto", proto]].concat())).await;
        assert_eq!(ended.code, Some(0), "{proto}: {}", ended.err);
        assert!(ended.out.starts_with("The") && ended.out.ends_with('\n'), "{}", ended.out);
        assert_canceled(after_head(&ended.err), "Canceled after 10 tokens: as many as were wanted.");
    }
}

#[tokio::test]
async fn a_reply_ended_by_the_token_limit_says_so() {
    let ended = run(chat(&["why is the sky blue?", "--max-tokens", "5", "--interval", "50"])).await;
    assert!(ended.err.contains("\n\nThe agent ended the reply at its limit: 5 tokens in "), "{}", ended.err);
    assert!(ended.err.contains("\nThe model made "), "{}", ended.err);
}

#[tokio::test]
async fn transcripts_are_written_before_the_program_exits() {
    for stop_after in ["7", "1000"] {
        let folder = folder(&format!("program-{stop_after}"));
        let transcripts = folder.to_str().expect("text");
        let words = ["hello", "--interval", "1", "--stop-after", stop_after, "--transcripts", transcripts];
        let ended = run(chat(&words)).await;
        let line = ended.err.lines().last().expect("a line");
        let file = line.rsplit_once(" bytes, in ").and_then(|(_, file)| file.strip_suffix('.'));
        let transcript = std::fs::read_to_string(file.expect(line)).expect("a transcript");
        assert!(transcript.contains("\"prompt\": \"hello\""), "{transcript}");
    }
}

#[tokio::test]
async fn a_prompt_can_be_piped_in() {
    let mut command = chat(&["--seed", "3", "--stop-after", "2", "--interval", "50"]);
    let mut process = Process::start({
        command.stdin(Stdio::piped());
        command
    });
    process.write("why is the sky blue?\n").await;
    let (status, out, err) = process.rest().await;
    assert!(status.success() && after_head(&err).starts_with("\nCanceled"), "{err}");
    assert_eq!(out, "The sky\n");
}

/// Checks the text after a cancel: the reason, a row per hop, the text of the code, a line on the model.
fn assert_canceled(err: &str, reason: &str) {
    assert!(!err.contains('\x1b'), "marks without a terminal: {err}");
    let parts = err.trim_start().split("\n\n").collect::<Vec<_>>();
    let [why, table, sentence, model] = &*parts else { panic!("{err}") };
    assert_eq!(*why, reason);
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>()).collect::<Vec<_>>();
    let [title, user, gateway, agent, last] = &*rows else { panic!("{table}") };
    assert_eq!(title[..2], ["service", "side"]);
    let expected: [(&str, &str, &[&str]); 4] = [
        ("user", "client", &["-"]),
        ("gateway", "client", &["user"]),
        ("agent", "client", &["user", "->", "gateway"]),
        ("model", "server", &["user", "->", "gateway", "->", "agent"]),
    ];
    let mut before = 0;
    for (row, (service, side, path)) in [user, gateway, agent, last].into_iter().zip(expected) {
        assert_eq!((row[..3].to_vec(), &row[6..]), (vec![service, side, "12007"], path), "{table}");
        let time = row[3].parse::<u64>().expect(table);
        assert!(time >= before && row[4] == "µs", "times grow down the chain: {table}");
        before = time;
    }
    assert!(sentence.starts_with("  12007: user code invoking stream RPC"), "{sentence}");
    assert!(model.starts_with("The model made "), "{model}");
}

#[tokio::test]
async fn ctrl_c_cancels_and_prints_the_error_of_each_hop() {
    let mut process = Process::start(chat(&["why is the sky blue?", "--seed", "3", "--interval", "200"]));
    assert_eq!(process.read(3).await, "The");
    process.signal("INT").await;
    let (status, out, err) = process.rest().await;
    assert_eq!(status.code(), Some(130), "{err}");
    assert!(out.ends_with('\n'), "{out}");
    let notes = after_head(&err);
    let reason = notes.trim_start().lines().next().expect("a reason");
    assert!(reason.starts_with("Canceled after ") && reason.ends_with(": interrupted."), "{reason}");
    assert_canceled(notes, reason);
}

/// The first Ctrl-C has no effect: the program is blocked by a full pipe.
#[tokio::test]
async fn a_second_ctrl_c_exits_immediately() {
    let endpoint = Endpoint::bind().await;
    let mut command = chat(&["hello"]);
    command.env("OPENAI_BASE_URL", endpoint.base_url());
    let mut process = Process::start(command);
    let mut exchange = within(endpoint.accept()).await;
    exchange.begin().await;
    exchange.chunk(piece(&"more than a pipe holds ".repeat(10_000))).await;
    assert_eq!(process.read(4).await, "more");
    process.signal("INT").await;
    // The chain is canceled nevertheless.
    within(exchange.closed()).await;
    let status = within(async {
        loop {
            process.signal("INT").await;
            let ended = timeout(Duration::from_millis(10), process.ended()).await;
            if let Ok(status) = ended {
                return status;
            }
        }
    });
    assert_eq!(status.await.code(), Some(130));
}

#[tokio::test]
async fn an_endpoint_can_be_the_model() {
    let endpoint = Endpoint::bind().await;
    let mut command = chat(&["hello"]);
    command.env("OPENAI_BASE_URL", endpoint.base_url()).env("OPENAI_MODEL", "m").env("OPENAI_API_KEY", "k");
    let (ended, exchange) = tokio::join!(run(command), answer(&endpoint, &["Hi", "\u{1b}[31m you"]));
    assert_eq!((ended.code, &*ended.out), (Some(0), "Hi[31m you\n"), "{}", ended.err);
    assert!(
        ended.err.contains(&format!(": m at {}/chat/completions\n\n", endpoint.base_url())),
        "{}",
        ended.err
    );
    assert_eq!((exchange.header("authorization"), &exchange.body["model"]), (Some("Bearer k"), &"m".into()));

    let mut command = chat(&["hello", "--stop-after", "1"]);
    command.env("OPENAI_BASE_URL", endpoint.base_url());
    let (ended, ()) = tokio::join!(run(command), async {
        let mut exchange = within(endpoint.accept()).await;
        exchange.begin().await;
        exchange.chunk(piece("Hi")).await;
        within(exchange.closed()).await;
    });
    assert!(
        ended.err.contains("The model made 0 tokens after the cancel had reached it.\n"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn invalid_arguments_are_reported_in_one_line_by_chat() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = &*listener.local_addr().expect("bound").to_string();
    let in_use = &*format!(
        "cannot listen on {taken}: Address already in use (os error 98): \
         stop the other process or choose another port"
    );
    let not_an_address = "address \"here\" is not host:port: it has no port";
    let not_a_socket = "cannot listen on here: it has no port: give host:port";
    let not_a_url = "OPENAI_BASE_URL is no http address (relative URL without a base): \
                     set one such as http://127.0.0.1:8080/v1";
    let not_built_in = "--seed and --interval are for the built-in model: unset OPENAI_BASE_URL";
    let rows: [(&[&str], &str, &str); 7] = [
        (&[""], "", "nothing was asked: give a prompt"),
        (&["serve", "model", "--addr", taken], "", in_use),
        (&["serve", "model", "--addr", "here"], "", not_a_socket),
        (&["serve", "gateway", "--next", "here"], "", not_an_address),
        (&["ask", "hello", "--addr", "here"], "", not_an_address),
        (&["hello"], "localhost", not_a_url),
        (&["hello", "--seed", "1"], "http://127.0.0.1:1/v1", not_built_in),
    ];
    for (words, base_url, line) in rows {
        let mut command = chat(words);
        command.env("OPENAI_BASE_URL", base_url);
        let ended = run(command).await;
        let last = ended.err.lines().last().map(str::to_owned);
        assert_eq!((ended.code, last), (Some(1), Some(format!("chat: {line}"))), "{}", ended.err);
        assert_eq!(ended.out, "");
    }
}
