//! The cancellation tree, looked at while it stands, as a cancel goes through it, and behind its end.
//! Other tests of the process have streams of their own, so each looks for its own addresses.

use std::net::SocketAddr;

use kitex::inspect::{Node, to_json, tree};
use kitex::observe::{CancelView, StreamView, cancels};
use kitex::stream_core::StreamPhase;
use kitex::{Address, Context, ServerStreamingClient, Side};

use crate::fixture::chain::Chain;
use crate::fixture::{Resp, ended, req, soon, until};

/// A chain ServiceA -> ServiceB -> ServiceC -> ServiceD, and where each listens.
struct Stage {
    chain: Chain,
    addresses: Vec<SocketAddr>,
}

impl Stage {
    async fn new() -> Self {
        let chain = Chain::of(&["ServiceB", "ServiceC", "ServiceD"]).await;
        let addresses = chain.peers.iter().rev().map(|peer| peer.address.parse().unwrap()).collect();
        Self { chain, addresses }
    }

    /// A stream through all of them, on which a message has come.
    async fn open(&self, ctx: &Context) -> ServerStreamingClient<Resp> {
        let mut down = self.chain.client().down(ctx, req("", 0)).await.unwrap();
        soon(down.recv()).await.unwrap().unwrap();
        down
    }

    /// The trees whose root goes to ServiceB.
    fn trees(&self) -> Vec<Node> {
        tree().into_iter().filter(|root| root.stream.info.peer == Address::from(self.addresses[0])).collect()
    }

    /// The cancels that went through the chain: the service that a stream is to, the side, the error.
    fn cancels(&self) -> Vec<(usize, CancelView)> {
        let of = |cancel: CancelView| {
            let server = match cancel.stream.side {
                Side::Client => cancel.stream.peer.clone(),
                Side::Server => cancel.stream.local.clone(),
            };
            let at = self.addresses.iter().position(|address| Address::from(*address) == server)?;
            Some((at, cancel))
        };
        cancels().into_iter().filter_map(of).collect()
    }
}

/// Every stream of a tree that does not branch, the root first.
fn line(root: &Node) -> Vec<&StreamView> {
    let mut line = vec![&root.stream];
    let mut node = root;
    while let [child] = &node.children[..] {
        line.push(&child.stream);
        node = child;
    }
    assert!(node.children.is_empty(), "one child each");
    line
}

#[tokio::test]
async fn each_hop_hangs_below_the_one_that_caused_it() {
    let stage = Stage::new().await;
    let down = stage.open(&Context::background()).await;
    let [root] = &stage.trees()[..] else { panic!("one tree: {:?}", stage.trees()) };
    let line = line(root);
    assert_eq!(line.len(), 6, "both ends of three streams: {line:?}");
    for (at, ends) in line.chunks(2).enumerate() {
        let [client, server] = ends else { unreachable!() };
        assert_eq!((client.info.side, server.info.side), (Side::Client, Side::Server));
        let address = Address::from(stage.addresses[at]);
        assert_eq!((&client.info.peer, &server.info.local), (&address, &address));
        assert_eq!((&server.info.peer, &client.info.local), (&client.info.local, &server.info.peer));
        assert_eq!(
            (client.phase, server.phase),
            (StreamPhase::HalfClosed, StreamPhase::HalfClosed),
            "the one request is out"
        );
        for end in ends {
            assert_eq!((&end.info.service[..], &end.info.method[..]), (&b"Echo"[..], &b"Down"[..]));
            assert_eq!((end.sent.messages, end.received.messages), (1, 1));
        }
        assert_eq!((client.sent, client.received), (server.received, server.sent), "the same bytes");
        assert!(client.sent.bytes > 0 && client.received.bytes > 0);
        let above = at.checked_sub(1).map(|above| line[2 * above + 1].info.label);
        assert_eq!((client.info.parent, server.info.parent), (above, None), "whose handler opened it");
    }
    drop(down);
    until(|| stage.trees().is_empty()).await;
}

#[tokio::test]
async fn streams_of_one_handler_stand_side_by_side() {
    let stage = Stage::new().await;
    let ctx = Context::background();
    let client = stage.chain.client();
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        soon(down.recv()).await.unwrap().unwrap();
        open.push(down);
    }
    let trees = stage.trees();
    assert_eq!(trees.len(), 3, "nobody in this process caused them");
    assert!(trees.iter().all(|root| line(root).len() == 6));
    open.pop();
    until(|| stage.trees().len() == 2).await;
}

#[tokio::test]
async fn the_same_stands_in_the_json() {
    let stage = Stage::new().await;
    let _down = stage.open(&Context::background()).await;
    let json: serde_json::Value = to_json();
    let to_b = stage.addresses[0].to_string();
    let streams = json["streams"].as_array().unwrap();
    let mine: Vec<_> = streams.iter().filter(|stream| stream["peer"] == *to_b).collect();
    let [mut node] = mine[..] else { panic!("one tree: {json}") };
    for (depth, side) in ["client", "server"].repeat(3).into_iter().enumerate() {
        assert_eq!(
            (&node["side"], &node["service"], &node["method"]),
            (&side.into(), &"Echo".into(), &"Down".into())
        );
        assert_eq!((&node["sent"]["messages"], &node["received"]["messages"]), (&1.into(), &1.into()));
        assert!(node["sent"]["bytes"].is_u64() && node["age_ms"].is_u64() && node["id"].is_string());
        assert_eq!(node["state"], "half closed");
        let children = node["children"].as_array().unwrap();
        assert_eq!(children.len(), usize::from(depth < 5), "{node}");
        node = children.first().unwrap_or(node);
    }
}

/// The ring is the whole process's and holds 256: so it is tried again if others have filled it meanwhile.
#[tokio::test]
async fn a_cancel_is_seen_at_each_hop_with_its_path() {
    let expected = [
        (0, Side::Client, None),
        (0, Side::Server, Some("ServiceA")),
        (1, Side::Server, Some("ServiceA,ServiceB")),
        (2, Side::Server, Some("ServiceA,ServiceB,ServiceC")),
    ];
    for round in 0.. {
        let mut stage = Stage::new().await;
        let (ctx, canceler) = Context::background().with_cancel();
        let mut down = stage.open(&ctx).await;
        canceler.cancel_with_cause("user pressed stop");
        assert_eq!(ended(&soon(down.recv()).await), "12008 client");
        stage.chain.parts(3).await;
        drop(down);
        until(|| stage.trees().is_empty()).await;
        let seen = stage.cancels();
        if seen.len() < 4 && round < 20 {
            continue;
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
        for ((at, cancel), (to, side, path)) in seen.iter().zip(expected) {
            assert_eq!((*at, cancel.stream.side), (to, side));
            assert_eq!(cancel.error.code().number(), 12008);
            assert_eq!(cancel.error.path().map(kitex::CancelPath::as_wire), path);
            assert_eq!(cancel.error.message(), "user pressed stop");
            assert!(cancel.took < crate::fixture::LONG);
        }
        return;
    }
}

#[tokio::test]
async fn the_json_tells_of_a_cancel_what_a_reader_needs() {
    let mut stage = Stage::new().await;
    for round in 0.. {
        let down = stage.open(&Context::background()).await;
        let trees = stage.trees();
        let label = line(&trees[0])[5].info.label;
        drop(down);
        stage.chain.parts(3).await;
        until(|| stage.trees().is_empty()).await;
        let json = to_json();
        let id = format!("{}.{}", label.connection, label.stream);
        let cancels = json["cancels"].as_array().unwrap();
        let Some(cancel) = cancels.iter().find(|cancel| cancel["id"] == id) else {
            assert!(round < 20, "others fill the ring again and again");
            continue;
        };
        assert_eq!(cancel["path"], serde_json::json!(["ServiceA", "ServiceB", "ServiceC"]));
        assert_eq!((&cancel["code"], &cancel["side"]), (&12007.into(), &"server".into()));
        assert_eq!((&cancel["service"], &cancel["method"]), (&"Echo".into(), &"Down".into()));
        assert!(cancel["cause"].as_str().unwrap().starts_with("user code invoking stream RPC"));
        assert!(
            cancel["took_us"].is_u64() && cancel["at_ms"].as_u64().unwrap() > 0 && cancel["id"].is_string()
        );
        break;
    }
}

#[cfg(feature = "inspect-http")]
#[tokio::test]
async fn the_json_is_to_be_had_by_http() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    let stage = Stage::new().await;
    let _down = stage.open(&Context::background()).await;
    let nobody = crate::fixture::Nobody::new();
    let address = nobody.address.clone();
    let served = tokio::spawn(async move { kitex::inspect::serve(&address).await });
    let mut socket = soon(async {
        loop {
            match TcpStream::connect(&nobody.address).await {
                Ok(socket) => return socket,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let request = "GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/json"), "{head}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    let to_b = stage.addresses[0].to_string();
    assert!(json["streams"].as_array().unwrap().iter().any(|stream| stream["peer"] == *to_b), "{json}");
    assert!(json["cancels"].is_array());
    served.abort();
}
