//! The program from outside, all services in one process: what a terminal shows, and the exit status.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::keep::folder;
use crate::openai::{answer, piece};
use crate::process::{Process, chat, run};
use crate::within;

/// The head of the output, which names the ports, and what follows.
fn after_head(out: &str) -> &str {
    let (head, rest) = out.split_once("\n\n").expect("a head");
    assert!(head.starts_with("user -> gateway 127.0.0.1:"), "{head}");
    assert!(head.ends_with(": the built-in n-gram model"), "{head}");
    rest
}

#[tokio::test]
async fn a_reply_ends_with_a_line_of_summary() {
    let ended = run(chat(&["--seed", "3", "--interval", "1", "why is the sky blue?"])).await;
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    let (reply, summary) = after_head(&ended.out).split_once("\n\n").expect("a summary");
    assert!(reply.starts_with("The sky is blue because"), "{reply}");
    assert!(summary.starts_with("Complete: ") && summary.lines().count() == 1, "{summary}");
}

#[tokio::test]
async fn a_cancel_shows_what_each_hop_saw() {
    let words = ["why", "is", "the", "sky", "blue?", "--stop-after", "10", "--seed", "3", "--interval", "50"];
    let ended = run(chat(&words)).await;
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    assert_canceled(after_head(&ended.out), "Canceled after 10 tokens: as many as were wanted.");
}

#[tokio::test]
async fn a_reply_of_the_agents_limit_says_so() {
    let ended = run(chat(&["why is the sky blue?", "--max-tokens", "5", "--interval", "50"])).await;
    assert!(ended.out.contains("\n\nThe agent ended the reply at its limit: 5 tokens in "), "{}", ended.out);
    assert!(ended.out.contains("\nThe model made "), "{}", ended.out);
}

#[tokio::test]
async fn the_models_work_is_on_disk_when_the_program_ends() {
    for stop_after in ["7", "1000"] {
        let folder = folder(&format!("program-{stop_after}"));
        let transcripts = folder.to_str().expect("text");
        let words = ["hello", "--interval", "1", "--stop-after", stop_after, "--transcripts", transcripts];
        let ended = run(chat(&words)).await;
        let line = ended.out.lines().last().expect("a line");
        let file = line.rsplit_once(" bytes, in ").and_then(|(_, file)| file.strip_suffix('.'));
        let transcript = std::fs::read_to_string(file.expect(line)).expect("a transcript");
        assert!(transcript.contains("\"prompt\": \"hello\""), "{transcript}");
    }
}

#[tokio::test]
async fn a_question_may_be_piped_in() {
    let mut command = chat(&["--seed", "3", "--stop-after", "2", "--interval", "50"]);
    let mut process = Process::start({
        command.stdin(Stdio::piped());
        command
    });
    process.write("why is the sky blue?\n").await;
    let (status, out, _) = process.rest().await;
    assert!(status.success() && after_head(&out).starts_with("The sky\n\nCanceled"), "{out}");
}

/// A piece of a reply, the reason, a row a hop, a sentence, a line on the model.
fn assert_canceled(out: &str, reason: &str) {
    assert!(!out.contains('\x1b'), "marks without a terminal: {out}");
    let parts = out.split("\n\n").collect::<Vec<_>>();
    let [reply, why, table, sentence, model] = &*parts else { panic!("{out}") };
    assert!(reply.starts_with("The"), "{reply}");
    assert_eq!(*why, reason);
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>()).collect::<Vec<_>>();
    let [title, user, gateway, agent, last] = &*rows else { panic!("{table}") };
    assert_eq!(title[..2], ["service", "side"]);
    assert_eq!(user[..4], ["user", "client", "12007", "-"]);
    assert_eq!(gateway[..4], ["gateway", "client", "12007", "user"]);
    assert_eq!(agent[..6], ["agent", "client", "12007", "user", "->", "gateway"]);
    assert_eq!(last[..8], ["model", "server", "12007", "user", "->", "gateway", "->", "agent"]);
    for row in &rows[1..] {
        let [.., time, unit, _tokens] = &row[..] else { panic!("{table}") };
        assert!(time.parse::<u64>().is_ok() && *unit == "µs", "{table}");
    }
    assert!(sentence.starts_with("  12007: user code invoking stream RPC"), "{sentence}");
    assert!(model.starts_with("The model made "), "{model}");
}

#[tokio::test]
async fn ctrl_c_cancels_and_shows_the_same() {
    let mut process = Process::start(chat(&["why is the sky blue?", "--seed", "3", "--interval", "200"]));
    let head = process.line().await.expect("a head");
    assert!(head.starts_with("user -> "), "{head}");
    assert_eq!(process.line().await.as_deref(), Some(""));
    assert_eq!(process.read(3).await, "The");
    process.signal("INT").await;
    let (status, out, err) = process.rest().await;
    assert_eq!((status.code(), &*err), (Some(130), ""));
    let reason = out.split("\n\n").nth(1).expect("a reason");
    assert!(reason.starts_with("Canceled after ") && reason.ends_with(": interrupted."), "{reason}");
    assert_canceled(&format!("The{out}"), reason);
}

/// The first is of no avail: the program waits for somebody to read what it says.
#[tokio::test]
async fn a_second_ctrl_c_ends_it_at_once() {
    let endpoint = Endpoint::bind().await;
    let mut command = chat(&["hello"]);
    command.env("OPENAI_BASE_URL", endpoint.base_url());
    let mut process = Process::start(command);
    let mut exchange = within(endpoint.accept()).await;
    exchange.begin().await;
    exchange.chunk(piece(&"more than a pipe holds ".repeat(10_000))).await;
    assert!(process.line().await.expect("a head").starts_with("user -> "));
    process.signal("INT").await;
    // The chain ends even so.
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
async fn an_endpoint_may_be_the_model() {
    let endpoint = Endpoint::bind().await;
    let mut command = chat(&["hello"]);
    command.env("OPENAI_BASE_URL", endpoint.base_url()).env("OPENAI_MODEL", "m").env("OPENAI_API_KEY", "k");
    let (ended, exchange) = tokio::join!(run(command), answer(&endpoint, &["Hi", "\u{1b}[31m you"]));
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    assert!(
        ended.out.contains(&format!(": m at {}/chat/completions\n\nHi[31m you\n\n", endpoint.base_url()))
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
        ended.out.contains("The model made 0 tokens after the cancel had reached it.\n"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn what_cannot_be_is_said_in_one_line() {
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
        assert_eq!((ended.code, ended.err), (Some(1), format!("chat: {line}\n")));
    }
}
