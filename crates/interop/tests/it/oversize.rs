//! A relay between 100 users, one of whom sends and asks for what is at, or just over, every limit: the other 99 lose
//! nothing. The relay has one connection to its server for all of them.

use std::time::Duration;

use interop::lab::{LabClient, Req};
use kitex::client::ConnectionConfig;
use kitex::{Client, Context, Result, ServerStreamingClient};
use tokio::time::timeout;

use crate::chain::Chain;
use crate::local::{ends, lab_client, request};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, go_is_here, say};

#[tokio::test]
async fn a_user_at_every_limit_costs_no_other_user_anything_behind_a_relay() {
    check(&[Rust, Rust]).await;
}

#[tokio::test]
async fn a_user_of_kitexs_server_at_every_limit_costs_no_other_user_anything() {
    if go_is_here() {
        check(&[Rust, Go]).await;
    }
}

#[tokio::test]
async fn a_user_of_kitexs_relay_at_every_limit_costs_no_other_user_anything() {
    if go_is_here() {
        check(&[Go, Rust]).await;
    }
}

/// What the one user does: pairs of metainfo, bytes of payload, and words for the server.
struct Attempt {
    pairs: usize,
    payload: usize,
    words: String,
}

/// A frame of 16 MiB, more and less: headers and names take some of it.
const FRAMES: [usize; 6] = [16_776_600, 16_777_000, 16_777_100, 16_777_180, 16_777_216, 17_000_000];
/// 1,024 pairs, some of which are the protocol's, and one or two a relay's.
const PAIRS: [usize; 6] = [900, 1_012, 1_018, 1_021, 1_024, 1_100];
/// 262,140 bytes in all, 65,535 a value.
const BLOCKS: [&str; 4] = ["1x65000", "1x65535", "1x65536", "5x60000"];
/// What Kitex cannot encode: its server then closes the connection, with all streams of the relay.
const TOO_MUCH_FOR_KITEX: [&str; 2] = ["1x65536", "5x60000"];
const TEXTS: [usize; 3] = [4_096, 70_000, 17_000_000];

fn attempts() -> Vec<Attempt> {
    let words = |words: String| Attempt { pairs: 0, payload: 0, words };
    let sent = FRAMES.map(|payload| Attempt { pairs: 0, payload, words: "n=1".to_owned() });
    let metainfo = PAIRS.map(|pairs| Attempt { pairs, payload: 0, words: "n=1".to_owned() });
    let answers = FRAMES.map(|size| words(format!("n=1;size={size}")));
    let places = ["headers", "trailers"];
    let pairs = places.iter().flat_map(|place| PAIRS.map(|pairs| words(format!("n=1;{place}={pairs}x1"))));
    let blocks = places.iter().flat_map(|place| BLOCKS.map(|block| words(format!("n=1;{place}={block}"))));
    let texts = TEXTS.map(|text| words(format!("fail;text={text}")));
    sent.into_iter().chain(metainfo).chain(answers).chain(pairs).chain(blocks).chain(texts).collect()
}

async fn check(peers: &[Peer]) {
    let chain = Chain::start(peers);
    let mut users = Vec::new();
    for _ in 0..99 {
        let client = lab_client(&chain.address);
        let opened = client.down(&Context::background(), request("n=-1;delay=300")).await;
        let mut stream = opened.expect("a stream");
        assert!(ends("a first message", stream.recv()).await.expect("it lives").is_some());
        users.push((client, stream));
    }
    // A client without limits, which sends what it is asked for.
    let mut config = ConnectionConfig::default();
    (config.limits.frame_len, config.limits.header_len, config.limits.pairs) = (1 << 28, 1 << 20, 1 << 16);
    let client = Client::builder("ServiceB").caller("ServiceA").address(&*chain.address).connection(config);
    let attacker = LabClient::new(client.build().expect("a name and an address"));
    let (mut passed, mut failed) = (0, 0);
    let is_harmless = |attempt: &Attempt| {
        peers != [Rust, Go] || !TOO_MUCH_FOR_KITEX.iter().any(|block| attempt.words.ends_with(block))
    };
    for attempt in attempts().into_iter().filter(is_harmless) {
        match ends(&attempt.words, attack(&attacker, &attempt)).await {
            Ok(()) => passed += 1,
            Err(_) => failed += 1,
        }
        if go_is_here() && attempt.payload == 0 {
            let Attempt { pairs, words, .. } = &attempt;
            let words = format!("client --addr {} --msg {words} --pairs {pairs}", chain.address);
            Process::start(Go, &words).ends();
        }
    }
    if go_is_here() {
        for payload in FRAMES {
            for what in ["down", "ping"] {
                let words =
                    format!("client --addr {} --what {what} --msg n=1 --payload {payload}", chain.address);
                Process::start(Go, &words).ends();
            }
        }
    }
    say(&format!("{passed} calls passed, {failed} failed"));
    assert!(passed > 10 && failed > 10, "{passed} passed, {failed} failed: both sides of the limits");
    for (at, (_, stream)) in users.iter_mut().enumerate() {
        goes_on(stream)
            .await
            .unwrap_or_else(|error| panic!("{peers:?}: user {at} has lost its stream: {error}"));
    }
}

async fn attack(client: &LabClient, attempt: &Attempt) -> Result<()> {
    let pair = |ctx: Context, at| ctx.with_persistent(format!("p{at}"), "v");
    let ctx = (0..attempt.pairs).fold(Context::background(), pair);
    let payload = Some(vec![0; attempt.payload].into());
    let mut stream = client.down(&ctx, Req { payload, ..request(&attempt.words) }).await?;
    while stream.recv().await?.is_some() {}
    Ok(())
}

/// Takes what has come, and waits for what comes next.
async fn goes_on(stream: &mut ServerStreamingClient<interop::lab::Resp>) -> Result<()> {
    while let Ok(message) = timeout(Duration::ZERO, stream.recv()).await {
        assert!(message?.is_some(), "it has no end");
    }
    ends("the next message", stream.recv()).await.map(drop)
}
