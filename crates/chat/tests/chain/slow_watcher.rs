//! `/streams/watch` of a service with 1,000 streams and a watcher that does not read: what waits for it is bounded, and
//! when it reads at last it has the streams that are open then.

use std::collections::HashSet;
use std::time::Duration;

use chat::api::Question;
use chat::next::Next;
use chat::options::ReplyOptions;
use chat::service::{MODEL, USER};
use kitex::Context;
use kitex::inspect::Joined;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::process::{Process, chat};
use crate::within;

const STREAMS: usize = 1000;
const ROUNDS: usize = 24;
/// Bytes of changes that may wait. A round is some 400 KB: all of them would be 10 MB. The system's buffer grows to 4 MB
/// (`net.ipv4.tcp_wmem`), and each change that the server has begun is written whole. How a busy machine divides the
/// rounds among changes has no part in it.
const MAX_WAITING: usize = 6 << 20;

#[tokio::test]
async fn changes_for_a_slow_watcher_are_merged() {
    let mut service = Process::start(chat(&[
        "serve",
        "model",
        "--addr",
        "127.0.0.1:0",
        "--inspect",
        "127.0.0.1:0",
        "--json",
    ]));
    let line = service.json().await;
    let address = |key: &str| line[key].as_str().expect("an address").to_owned();
    let inspect = address("inspect");
    let socket = TcpSocket::new_v4().expect("a socket");
    // So small that the system does not hold the changes.
    socket.set_recv_buffer_size(4096).expect("set");
    let mut watcher = within(socket.connect(inspect.parse().expect("an address"))).await.expect("connects");
    watcher.write_all(b"GET /streams/watch HTTP/1.0\r\nhost: a\r\n\r\n").await.expect("written");

    let model = Next::new(USER, MODEL, &address("address")).expect("an address");
    let options = ReplyOptions { first_token: Some(Duration::from_secs(60)), ..ReplyOptions::default() };
    let mut open = Vec::new();
    for _ in 0..ROUNDS {
        open.clear();
        let ctx = options.set(&Context::background());
        for _ in 0..STREAMS {
            let question = Question { prompt: "hi".into() };
            open.push(within(model.client().ask(&ctx, question)).await.expect("a stream"));
        }
        // A watcher that reads sees each of the rounds.
        within(async {
            while ids(&inspect).await.len() < STREAMS {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }

    let last = ids(&inspect).await;
    let mut lines = BufReader::new(watcher).lines();
    let (mut joined, mut waiting) = (Joined::new(), 0);
    while of(&joined.trees()) != last {
        let line = within(lines.next_line()).await.expect("text").expect("a change");
        let Some(change) = line.strip_prefix("data: ") else { continue };
        waiting += line.len();
        let change: Value = serde_json::from_str(change).expect("JSON");
        joined.apply("model", &change);
    }
    assert!(waiting <= MAX_WAITING, "{waiting} bytes waited");
}

/// The open streams of the service.
async fn ids(inspect: &str) -> HashSet<String> {
    let mut socket = within(TcpStream::connect(inspect)).await.expect("connects");
    socket.write_all(b"GET /streams HTTP/1.0\r\nhost: a\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    within(socket.read_to_string(&mut answer)).await.expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    of(&serde_json::from_str::<Value>(body).expect("JSON")["streams"])
}

fn of(trees: &Value) -> HashSet<String> {
    let trees = trees.as_array().expect("trees").iter();
    trees.map(|tree| tree["id"].as_str().expect("an id").to_owned()).collect()
}
