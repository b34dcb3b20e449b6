//! Memory over gRPC: a slow reader of a fast sender, many opens and resets, a message beyond the limit. Each peer is a
//! process, whose resident memory is read from outside.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clap::Parser;
use interop::dial::Target;
use interop::lab::LabClient;
use kitex::Context;

use crate::local::request;
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, go_is_here, say};

const MB: u64 = 1024;

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    target: Target,
}

fn client(address: &str) -> LabClient {
    let words = ["", "--addr", address, "--proto", "grpc"];
    Words::parse_from(words).target.client().expect("the address is one")
}

#[test]
fn a_slow_grpc_reader_of_a_fast_sender_holds_at_most_64_mb() {
    let senders: &[Peer] = if go_is_here() { &[Rust, Go] } else { &[Rust] };
    for sender in senders {
        let (server, address) = Process::serve(*sender, "");
        let reader = Process::start(Rust, &format!("slow --addr {address} --proto grpc --t 5"));
        let seconds = reader.take(5);
        let most = seconds.iter().filter_map(|line| line["kb"].as_u64()).max().unwrap_or_default();
        let (reader, sender_kb) = (most / MB, server.rss_kb() / MB);
        say(&format!("sender {sender:?}: the reader holds {reader} MB, the sender {sender_kb} MB"));
        assert!(seconds.len() == 5 && (1..64 * MB).contains(&most), "{seconds:?}");
    }
}

/// Opens a stream, has one message back, and resets it.
async fn open_and_reset(client: &LabClient) {
    let mut stream = client.bidi(&Context::background()).await.expect("a stream");
    stream.send(&request("")).await.expect("it is open");
    assert!(stream.recv().await.expect("it is open").is_some());
}

/// The 99th percentile of `count` ping-pongs, in microseconds.
async fn p99(client: &LabClient, count: usize) -> u128 {
    let mut stream = client.bidi(&Context::background()).await.expect("a stream");
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        stream.send(&request("")).await.expect("it is open");
        assert!(stream.recv().await.expect("no reset is its own").is_some());
        times.push(started.elapsed().as_micros());
    }
    times.sort_unstable();
    times[count * 99 / 100]
}

/// Fewer without optimization, where it takes minutes.
const RESETS: usize = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
const TASKS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn opens_and_resets_of_many_grpc_streams_leave_at_most_32_mb() {
    let (server, address) = Process::serve(Rust, "");
    let (client, other) = (client(&address), self::client(&address));
    for _ in 0..1000 {
        open_and_reset(&client).await;
    }
    let (before, quiet) = (server.rss_kb(), p99(&other, 1000).await);
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..RESETS / TASKS {
                    open_and_reset(&client).await;
                }
            })
        })
        .collect();
    let busy = p99(&other, 1000).await;
    for task in tasks {
        task.await.expect("every stream opens");
    }
    let grown = server.rss_kb().saturating_sub(before);
    say(&format!("{RESETS} resets: {grown} KB more; p99 of others {quiet} us before, {busy} us meanwhile"));
    assert!(before > 0 && grown < 32 * MB, "{before} KB before, {grown} KB more");
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let stream = u8::from(kind != SETTINGS);
    [&len[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAME: usize = 16_384;

/// Writes a request whose message says that it is 400 MB long, and as much of it as the server takes. Returns whether
/// the server has answered the stream, and how many bytes it has taken.
fn send_huge(address: &str) -> (bool, usize) {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("it is open");
    // POST, http, and literal headers.
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")][..], text.as_bytes()].concat();
    let header = [
        &[0x83, 0x86, 0x04][..],
        &text("/lab.Lab/Up"),
        &[0x01],
        &text("ServiceB"),
        &[0x00],
        &text("content-type"),
        &text("application/grpc+thrift"),
    ]
    .concat();
    let length = 400 * 1024 * 1024_u32;
    let first = [&[0][..], &length.to_be_bytes(), &[0; 1000]].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let start = [&preface[..], &frame(SETTINGS, 0, b""), &frame(HEADERS, END_HEADERS, &header)].concat();
    socket.write_all(&start).expect("it is open");
    let mut sent = 0;
    for data in [first, vec![0; FRAME], vec![0; FRAME], vec![0; FRAME]] {
        // It may have ended the stream already.
        if socket.write_all(&frame(DATA, 0, &data)).is_ok() {
            sent += data.len();
        }
    }
    let mut head = [0; 9];
    while socket.read_exact(&mut head).is_ok() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(len).expect("a frame")];
        if socket.read_exact(&mut payload).is_err() {
            break;
        }
        if head[3] == HEADERS && head[4] & END_STREAM > 0 {
            return (true, sent);
        }
    }
    (false, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_message_of_400_mb_is_refused_at_its_prefix() {
    let (server, address) = Process::serve(Rust, "");
    let client = client(&address);
    open_and_reset(&client).await;
    let before = server.rss_kb();
    for _ in 0..10 {
        let to = address.clone();
        let huge = tokio::task::spawn_blocking(move || send_huge(&to)).await.expect("it returns");
        assert!(huge.0, "the stream ends while its message is incomplete: {} bytes", huge.1);
    }
    let grown = server.rss_kb().saturating_sub(before);
    say(&format!("10 messages of 400 MB: {grown} KB more"));
    assert!(before > 0 && grown < 16 * MB, "{grown} KB more");
    open_and_reset(&client).await;
}
