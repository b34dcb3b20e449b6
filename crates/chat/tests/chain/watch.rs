//! The cancellation tree while a reply comes: as snapshots, in place on a terminal, as JSON on an address.

use chat::watch::Canvas;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{Process, chat, run};
use crate::within;

#[tokio::test]
async fn a_watched_reply_shows_each_stream_below_the_one_that_caused_it() {
    let words =
        ["why is the sky blue?", "--watch=20", "--stop-after", "10", "--seed", "3", "--interval", "50"];
    let ended = run(chat(&words)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("\n\nThe sky is blue") && !ended.out.contains("Chat.Ask"), "{}", ended.out);
    assert!(!ended.err.contains('\x1b'), "marks without a terminal: {}", ended.err);

    let (snapshots, cancels) = ended.err.split_once("\ncancels:\n").expect("cancels");
    // The one that the first token drew: before it streams are opened, after the cancel they go.
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

    let (rows, causes) = cancels.split_once("\n\n").expect("causes");
    assert!(causes.starts_with("  12007: user code ") && causes.trim_end().lines().count() == 1, "{causes}");
    let rows: Vec<_> = rows.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>()).collect();
    let [user, gateway, agent, model] = &*rows else { panic!("{cancels}") };
    assert_eq!(user[..6], ["client", "Chat.Ask", "of", "gateway", "12007", "-"]);
    assert_eq!(gateway[..6], ["server", "Chat.Ask", "at", "gateway", "12007", "user"]);
    assert_eq!(agent[3..8], ["agent", "12007", "user", "->", "gateway"]);
    assert_eq!(model[3..10], ["model", "12007", "user", "->", "gateway", "->", "agent"]);
    assert!(rows.iter().all(|row| row.ends_with(&["µs"])), "{cancels}");
}

#[tokio::test]
async fn a_watched_reply_that_comes_whole_has_no_cancels() {
    let ended = run(chat(&["hello", "--watch", "--seed", "3", "--interval", "1"])).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("client Chat.Ask of gateway"), "{}", ended.err);
    assert!(!ended.err.contains("cancels"), "{}", ended.err);
}

#[tokio::test]
async fn an_address_tells_the_tree_as_json() {
    let inspect = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    let inspect = inspect.to_string();
    let words = ["model", "--interval", "50", "--inspect", &inspect];
    let (mut model, address) = Process::serve(&words).await;
    assert_eq!(get(&inspect).await["streams"], Value::Array(Vec::new()));

    // The model speaks as the gateway does, so it can be asked itself.
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
            let told = get(&inspect).await;
            if told["cancels"][0].is_object() {
                return told["cancels"][0].clone();
            }
        }
    });
    let cancel = cancels.await;
    assert_eq!((&cancel["code"], &cancel["path"][0]), (&12007.into(), &"user".into()), "{cancel}");
}

/// Asks as any HTTP client would.
async fn get(address: &str) -> Value {
    within(async {
        let mut socket = TcpStream::connect(address).await.expect("somebody listens");
        let request = "GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("a reader");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    })
    .await
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = listener.local_addr().expect("bound").to_string();
    for words in [&["hello"][..], &["serve", "model", "--addr", "127.0.0.1:0"]] {
        let ended = run(chat(&[words, &["--inspect", &taken]].concat())).await;
        let line = format!("chat: cannot serve --inspect on {taken}: Address already in use (os error 98)\n");
        assert_eq!((ended.code, ended.err), (Some(1), line));
    }
}

/// As much of a terminal as a canvas needs: rows that scroll, a cursor, and a place where one was saved.
struct Terminal {
    rows: Vec<Vec<char>>,
    at: (usize, usize),
    saved: (usize, usize),
}

impl Terminal {
    fn new(height: usize) -> Self {
        Self { rows: vec![Vec::new(); height], at: (0, 0), saved: (0, 0) }
    }

    fn down(&mut self) {
        if self.at.0 + 1 == self.rows.len() {
            self.rows.remove(0);
            self.rows.push(Vec::new());
        } else {
            self.at.0 += 1;
        }
    }

    fn put(&mut self, c: char) {
        let (row, column) = self.at;
        let row = &mut self.rows[row];
        row.resize(row.len().max(column + 1), ' ');
        row[column] = c;
        self.at.1 += 1;
    }

    fn obey(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '\x1b' => rest = self.escape(rest),
                '\n' => {
                    self.down();
                    self.at.1 = 0;
                }
                c => self.put(c),
            }
        }
    }

    /// Obeys what stands behind the escape, and gives what follows it.
    fn escape<'a>(&mut self, text: &'a str) -> &'a str {
        let (order, rest) = match text.strip_prefix('[') {
            None => text.split_at(1),
            Some(_) => text.split_at(text.find(char::is_alphabetic).expect("an end") + 1),
        };
        match order {
            "D" => self.down(),
            "7" => self.saved = self.at,
            "8" => self.at = self.saved,
            "[E" => {
                self.down();
                self.at.1 = 0;
            }
            "[J" => {
                let (row, column) = self.at;
                self.rows[row].truncate(column);
                self.rows[row + 1..].iter_mut().for_each(Vec::clear);
            }
            "[?7l" | "[?7h" => {}
            up => {
                let lines = up.strip_prefix('[').and_then(|up| up.strip_suffix('A'));
                self.at.0 = self.at.0.saturating_sub(lines.and_then(|n| n.parse().ok()).expect("lines"));
            }
        }
        rest
    }

    fn text(&self) -> String {
        let rows = self.rows.iter().map(|row| row.iter().collect::<String>());
        rows.collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }
}

#[test]
fn what_is_drawn_below_a_text_leaves_the_text_as_it_is() {
    let (mut terminal, mut canvas) = (Terminal::new(6), Canvas::default());
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
    // The head has scrolled away, as it would have.
    assert_eq!(terminal.text(), "one two\nthree four five\nsix");
}
