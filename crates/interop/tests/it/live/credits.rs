//! Flow control by credits beside Kitex, by the frames between: its ends see one pair in one header frame, or nothing.

use interop::dial::{Pool, Proto, Transport};
use interop::lab::{LabClient, Req};
use interop::server::{Lines, builder};
use kitex::client::PoolKind;
use kitex::server::ConnectionConfig;
use kitex::{Client, Context, Side};

use super::frames::Seen;
use super::proxy::Proxy;
use crate::local::{ends, request};
use crate::peer::Peer::Go;
use crate::peer::{Process, go_is_here};

const TRANSPORT: Transport =
    Transport { proto: Proto::Tt, pool: Pool::Mux, psize: 1, busy_poll: 0, cancel_origin: false };

/// The window of an offer, with the default limits.
const WINDOW: &[u8] = b"262144";

fn config(credits: bool) -> ConnectionConfig {
    ConnectionConfig::default().flow_credits(credits)
}

fn client(address: &str, credits: bool) -> LabClient {
    let client = Client::builder("ServiceB").caller("ServiceA").address(address).pool(PoolKind::Mux(1));
    LabClient::new(client.connection(config(credits)).build().expect("name and address are good"))
}

/// Starts our server; returns its address.
async fn serve(name: &str, credits: bool) -> String {
    let server = builder(name, None, Lines::Silent, &TRANSPORT).connection(config(credits));
    let server = server.bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    address
}

/// The frames of a connection, those to the server first. Kitex writes the strings of a header in any order.
fn frames(proxy: &Proxy) -> [Vec<Seen>; 2] {
    [Side::Server, Side::Client].map(|side| {
        let mut frames = proxy.wire_to(side).frames();
        frames.iter_mut().for_each(|seen| seen.strings.sort());
        frames
    })
}

/// Opens one stream of each kind, with 1 MB in each direction.
async fn stream_each(client: &LabClient) {
    let ctx = Context::background();
    let large = |words: &str| Req { payload: Some(vec![7; 100_000].into()), ..request(words) };
    let mut up = ends("up", client.up(&ctx)).await.unwrap();
    for _ in 0..10 {
        ends("send", up.send(&large("many"))).await.unwrap();
    }
    ends("the response", up.close_and_recv()).await.unwrap();
    let mut down = ends("down", client.down(&ctx, request("n=10;size=100000"))).await.unwrap();
    for _ in 0..10 {
        assert!(ends("recv", down.recv()).await.unwrap().is_some());
    }
    assert!(ends("the end", down.recv()).await.unwrap().is_none());
    let mut bidi = ends("bidi", client.bidi(&ctx)).await.unwrap();
    for _ in 0..10 {
        ends("send", bidi.send(&large("echo"))).await.unwrap();
        assert!(ends("recv", bidi.recv()).await.unwrap().is_some());
    }
    bidi.close_send();
    assert!(ends("the end", bidi.recv()).await.unwrap().is_none());
}

/// Asserts that nothing but the pair of an offer in the first header is new in the frames with credits on.
fn check(without: &[Vec<Seen>; 2], mut with: [Vec<Seen>; 2], offers: bool) {
    let first = with[0].first_mut().expect("the header of the first stream");
    assert_eq!(first.credits.take().as_deref(), offers.then_some(WINDOW));
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(with.len(), without.len());
        for (with, without) in with.iter().zip(without) {
            assert_eq!(with, without);
        }
        assert!(with.iter().all(|seen| seen.id != 0 && seen.credits.is_none()));
    }
}

#[tokio::test]
async fn flow_credits_show_kitexs_server_one_pair() {
    if !go_is_here() {
        return;
    }
    let (_server, address) = Process::serve(Go, "");
    let mut seen = Vec::new();
    for credits in [false, true] {
        let proxy = Proxy::start(address.clone()).await;
        stream_each(&client(&proxy.address, credits)).await;
        seen.push(frames(&proxy));
    }
    let with = seen.pop().expect("a run with credits");
    check(&seen[0], with, true);
}

#[tokio::test]
async fn flow_credits_show_kitexs_client_nothing() {
    if !go_is_here() {
        return;
    }
    for what in ["up", "bidi", "down --msg n=10;size=100000"] {
        let mut seen = Vec::new();
        for credits in [false, true] {
            let proxy = Proxy::start(serve("ServiceB", credits).await).await;
            let client = Process::start(Go, &format!("client --addr {} --what {what}", proxy.address));
            let ended = tokio::task::spawn_blocking(|| client.ends()).await.unwrap();
            assert_eq!(ended.code, Some(0), "{what}: {ended:?}");
            seen.push(frames(&proxy));
        }
        let with = seen.pop().expect("a run with credits");
        check(&seen[0], with, false);
    }
}

#[tokio::test]
async fn flow_credits_are_not_offered_to_the_next_hop_by_kitex() {
    if !go_is_here() {
        return;
    }
    let next = Proxy::start(serve("ServiceC", true).await).await;
    let (_relay, address) = Process::serve(Go, &format!("--next {} --nextname ServiceC", next.address));
    let client = client(&address, true);
    let mut down = ends("down", client.down(&Context::background(), request("n=10"))).await.unwrap();
    for _ in 0..10 {
        assert!(ends("recv", down.recv()).await.unwrap().is_some());
    }
    assert!(ends("the end", down.recv()).await.unwrap().is_none());
    let seen = frames(&next);
    assert!(seen[0].len() > 1 && seen[1].len() > 10);
    assert!(seen.iter().flatten().all(|seen| seen.id != 0 && seen.credits.is_none()));
}

/// The frames that Kitex does not get.
#[tokio::test]
async fn flow_credits_of_two_ends_of_ours_take_frames_of_stream_0() {
    let proxy = Proxy::start(serve("ServiceB", true).await).await;
    stream_each(&client(&proxy.address, true)).await;
    let grants = |frames: &[Seen]| frames.iter().filter(|seen| seen.id == 0).count();
    let [to_server, to_client] = frames(&proxy);
    assert!(grants(&to_server) > 1 && grants(&to_client) > 2, "{to_server:?} {to_client:?}");
}
