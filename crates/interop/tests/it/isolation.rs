//! Isolation: the end of a stream ends no other stream of its connection.

use std::env;
use std::time::Duration;

use interop::lab::LabClient;
use kitex::{Code, Context};
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::lines::PATIENCE;
use crate::local::{ends, lab_client, request};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, go_is_here, say};

const STREAMS: usize = 120;
const MESSAGES: usize = 20;

#[tokio::test]
async fn canceling_streams_of_rust_ends_no_other() {
    check(&[Rust]).await;
}

#[tokio::test]
async fn canceling_streams_through_rust_ends_no_other() {
    check(&[Rust, Rust]).await;
}

#[tokio::test]
async fn canceling_streams_of_kitex_ends_no_other() {
    if go_is_here() {
        check(&[Go]).await;
    }
}

#[tokio::test]
async fn canceling_streams_through_rust_to_kitex_ends_no_other() {
    if go_is_here() {
        check(&[Rust, Go]).await;
    }
}

async fn check(servers: &[Peer]) {
    let chain = Chain::start(servers);
    let client = lab_client(&chain.address);
    let streams: Vec<_> =
        (0..STREAMS).map(|i| tokio::spawn(FATES[i % FATES.len()].meet(client.clone(), i))).collect();
    for stream in streams {
        ends("a stream", stream).await.expect("each meets its fate");
    }
    let survivors = STREAMS / FATES.len();
    let lines = chain.last().find("the end of each survivor", |lines| {
        let clean = lines.iter().filter(|line| line["m"] == "Down" && line["n"] == MESSAGES);
        (clean.count() == survivors).then(|| lines.to_vec())
    });
    for line in lines.iter().filter(|line| !line["err"].as_str().unwrap_or_default().is_empty()) {
        let who = "[canceled path: ServiceA";
        assert!(
            line["kind"] == "canceled" && line["err"].as_str().is_some_and(|err| err.contains(who)),
            "{line}"
        );
    }
}

#[test]
fn canceling_half_of_ten_thousand_streams_of_rust_ends_no_other() {
    check_many(Rust, Rust, "--cross");
}

#[test]
fn canceling_half_of_ten_thousand_grpc_streams_of_rust_ends_no_other() {
    check_many(Rust, Rust, "--proto grpc");
}

#[test]
fn canceling_half_of_ten_thousand_grpc_streams_to_kitex_ends_no_other() {
    if go_is_here() {
        check_many(Rust, Go, "--proto grpc");
    }
}

#[test]
fn canceling_half_of_ten_thousand_grpc_streams_from_kitex_ends_no_other() {
    if go_is_here() {
        check_many(Go, Rust, "--proto grpc");
    }
}

#[test]
fn canceling_half_of_ten_thousand_streams_to_kitex_ends_no_other() {
    if go_is_here() {
        check_many(Rust, Go, "--cross");
    }
}

/// A Kitex client closes the whole connection when the first response crosses its cancel, whichever peer has
/// sent it: so of its streams only those without a response are canceled before the first one.
#[test]
fn canceling_half_of_ten_thousand_streams_from_kitex_ends_no_other() {
    if go_is_here() {
        check_many(Go, Rust, "");
    }
}

/// One client, one server, one connection.
fn check_many(client: Peer, server: Peer, words: &str) {
    const MANY: u64 = 10_000;
    const LATE: Duration = Duration::from_secs(3);
    let seed = env::var("INTEROP_SEED").unwrap_or_else(|_| "1".to_owned());
    let (server, address) = Process::serve(server, "");
    let client =
        Process::start(client, &format!("isolate --addr {address} --c {MANY} --seed {seed} {words}"));
    let line = client.take(1).pop().unwrap_or_else(|| panic!("{client:?}"));
    assert_eq!(line["broken"], json!([]), "seed {seed}");
    let count = |name: &str| line[name].as_u64().unwrap_or_default();
    let (survivors, canceled, before) = (count("survivors"), count("canceled"), count("before"));
    assert_eq!(survivors + canceled, MANY, "seed {seed}: {line}");
    assert!(survivors.min(canceled) > MANY / 3 && before > MANY / 10, "seed {seed}: {line}");

    // A handler whose stream was canceled early may never have started.
    let at_least = survivors + canceled - before;
    let mut ends: Vec<Value> = Vec::new();
    while ends.len() as u64 <= MANY {
        let clean = ends.iter().filter(|line| line["err"] == "").count() as u64;
        let patience = if (ends.len() as u64) < at_least || clean < survivors { PATIENCE } else { LATE };
        let Some(line) = server.take_within(1, patience).pop() else { break };
        ends.extend((line["ev"] == "server").then_some(line));
    }
    let clean = ends.iter().filter(|line| line["err"] == "").count() as u64;
    assert_eq!(clean, survivors, "seed {seed}: handlers that sent all");
    let who = match words.contains("grpc") {
        true => "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL",
        false => "[ttstream error, code=12007] [server-side stream] [canceled path: ServiceA] ",
    };
    for line in ends.iter().filter(|line| line["err"] != "") {
        assert!(line["err"].as_str().is_some_and(|err| err.starts_with(who)), "seed {seed}: {line}");
    }
    assert!(ends.len() as u64 >= at_least && ends.len() as u64 <= MANY, "seed {seed}: {} ends", ends.len());
    say(&format!("seed {seed}: {survivors} live, {canceled} canceled, {before} of them before an answer"));
}

const FATES: &[Fate] = &[
    Fate::CanceledAfter(0),
    Fate::Survives,
    Fate::CanceledAfter(1),
    Fate::DroppedAfter(0),
    Fate::CanceledAfter(3),
    Fate::DroppedAfter(2),
];

/// The end of a stream, after a number of messages.
#[derive(Clone, Copy)]
enum Fate {
    CanceledAfter(usize),
    DroppedAfter(usize),
    Survives,
}

impl Fate {
    async fn meet(self, client: LabClient, number: usize) {
        let (ctx, canceler) = Context::background().with_cancel();
        // The handler of a stream that is canceled must not have sent all before, however late the cancel arrives.
        let messages = if let Self::Survives = self { MESSAGES } else { 10_000 };
        let words = format!("n={messages};delay=20");
        let mut stream = client.down(&ctx, request(&words)).await.expect("a stream");
        let (Self::CanceledAfter(messages) | Self::DroppedAfter(messages)) = self else {
            for _ in 0..MESSAGES {
                assert!(stream.recv().await.expect("its cancel is another's").is_some());
            }
            assert!(stream.recv().await.expect("a clean end").is_none());
            return;
        };
        if messages == 0 {
            // So that the ends cover every stage of a stream's way to the last server and back.
            tokio::time::sleep(Duration::from_micros(50) * u32::try_from(number).expect("it is small")).await;
        }
        for _ in 0..messages {
            assert!(stream.recv().await.expect("it is not canceled yet").is_some());
        }
        if let Self::CanceledAfter(_) = self {
            canceler.cancel();
            let error = stream.recv().await.expect_err("it is canceled");
            assert_eq!(error.code(), Some(Code::CANCELED), "{error}");
        }
    }
}
