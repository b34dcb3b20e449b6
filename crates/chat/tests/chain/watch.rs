//! The cancellation tree during a reply: as snapshots, in place on a terminal, as JSON over HTTP.

use chat::watch::Canvas;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::emulator::Terminal;
use crate::process::{Process, chat, run};
use crate::within;

#[tokio::test]
async fn watch_shows_each_stream_below_its_parent() {
    let words =
        ["why is the sky blue?", "--watch=20", "--stop-after", "10", "--seed", "3", "--interval", "50"];
    let ended = run(chat(&words)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.starts_with("The sky is blue") && !ended.out.contains("Chat.Ask"), "{}", ended.out);
    assert!(!ended.err.contains('\x1b'), "marks without a terminal: {}", ended.err);

    let (snapshots, table) = ended.err.split_once("\nCanceled after 10 tokens").expect("a cancel");
    assert_eq!(table.matches("received after").count(), 1, "one table: {table}");
    // The snapshot of the first token: before it streams are being opened, after the cancel they are removed.
    let mut whole = snapshots.split("after ").filter(|shown| shown.matches(" half closed ").count() == 6);
    let mut lines = whole.next().expect(snapshots).lines().skip(1);
    assert!(lines.next().is_some_and(|titles| titles.trim().starts_with("stream ")), "{snapshots}");
    let ends = ["client Chat.Ask of", "server Chat.Ask at"];
    let services =
        ["gateway", "agent", "model"].iter().flat_map(|name| ends.map(|end| format!("{end} {name}")));
    for (depth, stream) in services.enumerate() {
        let line = lines.next().expect("a stream");
        let indent = if depth == 0 { "  ".to_owned() } else { " ".repeat(depth + 1) + "└ " };
        assert!(line.starts_with(&(indent + &stream)), "{line:?} is not {stream}");
        assert!(
            line.contains(" 127.0.0.1:") && line.contains(" half closed ") && line.contains(" B "),
            "{line}"
        );
    }
}

#[tokio::test]
async fn watch_of_a_complete_reply_has_no_table_of_cancels() {
    let ended = run(chat(&["hello", "--watch", "--seed", "3", "--interval", "1"])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("client Chat.Ask of gateway"), "{}", ended.err);
    assert!(ended.err.contains("\nComplete: ") && !ended.err.contains("received after"), "{}", ended.err);
}

#[tokio::test]
async fn inspect_serves_the_tree_as_json() {
    let inspect = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    let inspect = inspect.to_string();
    let words = ["model", "--interval", "50", "--inspect", &inspect];
    let (mut model, address) = Process::serve(&words).await;
    assert_eq!(get(&inspect).await["streams"], Value::Array(Vec::new()));

    // The model has the same API as the gateway, so it can be asked directly.
    let mut user = Process::start(chat(&["ask", "hello", "--addr", &address]));
    user.read(1).await;
    let open = get(&inspect).await;
    let stream = &open["streams"][0];
    assert_eq!((&stream["side"], &stream["method"]), (&"server".into(), &"Ask".into()), "{open}");
    user.signal("INT").await;
    assert_eq!(user.ended().await.code(), Some(130));
    assert_eq!(model.json().await["end"], "canceled");
    let cancels = within(async {
        loop {
            let tree = get(&inspect).await;
            if tree["cancels"][0].is_object() {
                return tree["cancels"][0].clone();
            }
        }
    });
    let cancel = cancels.await;
    assert_eq!((&cancel["code"], &cancel["path"][0]), (&12007.into(), &"user".into()), "{cancel}");
}

/// Sends a plain HTTP request.
async fn get(address: &str) -> Value {
    within(async {
        let mut socket = TcpStream::connect(address).await.expect("the address is served");
        let request = "GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("a reader");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    })
    .await
}

#[tokio::test]
async fn inspect_reports_a_used_address_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = listener.local_addr().expect("bound").to_string();
    for words in [&["hello"][..], &["serve", "model", "--addr", "127.0.0.1:0"]] {
        let ended = run(chat(&[words, &["--inspect", &taken]].concat())).await;
        let line = format!("chat: cannot serve --inspect on {taken}: Address already in use (os error 98)\n");
        assert_eq!((ended.code, ended.err), (Some(1), line));
    }
}

#[test]
fn canvas_draws_below_a_text_without_changing_it() {
    let (mut terminal, mut canvas) = (Terminal::new(80, 6), Canvas::default());
    let lines = |count: usize| (0..count).map(|line| format!("line {line}")).collect::<Vec<_>>();
    terminal.obey("begun\n");
    for (word, count) in [("one", 2), (" two", 3), ("\nthree", 1), (" four", 0), (" five", 4), ("\nsix", 2)] {
        terminal.obey(&canvas.erase());
        terminal.obey(word);
        terminal.obey(&canvas.draw(&lines(count)));
        terminal.obey(&canvas.draw(&lines(count)));
        let text = terminal.text();
        let (drawn, shown): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("line "));
        assert!(shown.last().is_some_and(|line| line.ends_with(word.trim())), "{text}");
        assert_eq!(drawn, lines(count), "{text}");
    }
    terminal.obey(&canvas.erase());
    // The head has scrolled away.
    assert_eq!(terminal.text(), "one two\nthree four five\nsix");
    assert_eq!(terminal.whole_text(), "begun\none two\nthree four five\nsix");
}
