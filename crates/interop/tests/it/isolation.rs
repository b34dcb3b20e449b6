//! On one connection the end of a stream is the end of no other.

use std::time::Duration;

use interop::lab::LabClient;
use kitex::{Code, Context};

use crate::chain::Chain;
use crate::local::{ends, lab_client, request};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::go_is_here;

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

const FATES: &[Fate] = &[
    Fate::CanceledAfter(0),
    Fate::Survives,
    Fate::CanceledAfter(1),
    Fate::DroppedAfter(0),
    Fate::CanceledAfter(3),
    Fate::DroppedAfter(2),
];

/// What becomes of a stream, after how many messages.
#[derive(Clone, Copy)]
enum Fate {
    CanceledAfter(usize),
    DroppedAfter(usize),
    Survives,
}

impl Fate {
    async fn meet(self, client: LabClient, number: usize) {
        let (ctx, canceler) = Context::background().with_cancel();
        let words = format!("n={MESSAGES};delay=20");
        let mut stream = client.down(&ctx, request(&words)).await.expect("a stream");
        let (Self::CanceledAfter(messages) | Self::DroppedAfter(messages)) = self else {
            for _ in 0..MESSAGES {
                assert!(stream.recv().await.expect("its cancel is another's").is_some());
            }
            assert!(stream.recv().await.expect("a clean end").is_none());
            return;
        };
        if messages == 0 {
            // So that its end meets the stream at every stage of its way to the last server and back.
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
