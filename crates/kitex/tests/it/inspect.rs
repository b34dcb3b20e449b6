//! `inspect`: the tree of open streams, and cancels. Other tests of the process have streams too, so each test looks for
//! its own addresses.

use std::hint::spin_loop;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kitex::client::{ClientBuilder, Transport};
use kitex::inspect::{ChainIds, Node, to_json, tree};
use kitex::observe::{CancelView, StreamView, cancels, streams};
use kitex::stream_core::StreamPhase;
use kitex::{Address, Code, Context, ErrorKind, ServerStreamingClient, Side};
use tokio::time::sleep;

use crate::fixture::chain::Chain;
use crate::fixture::{EchoClient, Handlers, LONG, Peer, Reports, Resp, reports, req, soon, until};

/// A chain ServiceA -> ServiceB -> ServiceC -> ServiceD, and the address of each.
struct Stage {
    transport: Transport,
    chain: Chain,
    addresses: Vec<SocketAddr>,
}

impl Stage {
    async fn new() -> Self {
        Self::over(Transport::TtHeader).await
    }

    async fn over(transport: Transport) -> Self {
        let chain = Chain::over(&["ServiceB", "ServiceC", "ServiceD"].map(|name| (name, transport))).await;
        let addresses = chain.peers.iter().rev().map(|peer| peer.address.parse().unwrap()).collect();
        Self { transport, chain, addresses }
    }

    fn client(&self) -> EchoClient {
        let change = |client: ClientBuilder| client.transport(self.transport).observer(ChainIds::new());
        self.chain.first().client_with(change)
    }

    /// A stream through all of them, on which a message has come.
    async fn open(&self, ctx: &Context) -> ServerStreamingClient<Resp> {
        let mut down = self.client().down(ctx, req("", 0)).await.unwrap();
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

const NAMES: [&str; 4] = ["ServiceA", "ServiceB", "ServiceC", "ServiceD"];

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
async fn inspect_shows_each_stream_below_the_one_that_caused_it_over_every_transport() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        check_tree(Stage::over(transport).await).await;
    }
}

async fn check_tree(stage: Stage) {
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
        assert_eq!((&*client.info.own_service, &*server.info.own_service), (NAMES[at], NAMES[at + 1]));
        assert!(client.info.chain.is_some() && client.info.chain == line[0].info.chain);
        assert_eq!(server.info.chain, client.info.chain, "one id for the whole chain");
        let above = at.checked_sub(1).map(|above| line[2 * above + 1].info.label);
        assert_eq!((client.info.parent, server.info.parent), (above, None), "whose handler opened it");
    }
    drop(down);
    until(|| stage.trees().is_empty()).await;
}

#[tokio::test]
async fn inspect_tree_has_streams_of_one_handler_as_siblings() {
    let stage = Stage::new().await;
    let ctx = Context::background();
    let client = stage.client();
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        soon(down.recv()).await.unwrap().unwrap();
        open.push(down);
    }
    let trees = stage.trees();
    assert_eq!(trees.len(), 3, "no stream of this process caused them");
    assert!(trees.iter().all(|root| line(root).len() == 6));
    open.pop();
    until(|| stage.trees().len() == 2).await;
}

#[tokio::test]
async fn inspect_json_has_the_tree() {
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
        let name = NAMES[depth.div_ceil(2)];
        assert_eq!((&node["own_service"], &node["chain"]), (&name.into(), &mine[0]["chain"]));
        assert!(node["local"].is_string() && node["chain"].as_str().is_some_and(|id| id.len() == 32));
        assert!(node["sent"]["bytes"].is_u64() && node["age_ms"].is_u64() && node["id"].is_string());
        assert_eq!(node["state"], "half closed");
        let children = node["children"].as_array().unwrap();
        assert_eq!(children.len(), usize::from(depth < 5), "{node}");
        node = children.first().unwrap_or(node);
    }
}

/// The ring is the whole process's and holds 256: so it is tried again if others have filled it meanwhile.
#[tokio::test]
async fn inspect_records_a_cancel_at_each_hop_over_every_transport() {
    // Where, the path there, and the text over each transport.
    type Hop = (usize, Side, Option<&'static str>, &'static str, &'static str);
    let (cause, reset) = ("user pressed stop", "transport: RSTStream Frame received with error code: CANCEL");
    let expected: [Hop; 4] = [
        (0, Side::Client, None, cause, "context canceled"),
        (0, Side::Server, Some("ServiceA"), cause, reset),
        (1, Side::Server, Some("ServiceA,ServiceB"), cause, reset),
        (2, Side::Server, Some("ServiceA,ServiceB,ServiceC"), cause, reset),
    ];
    let by_tt = expected.map(|(at, side, path, text, _)| (at, side, path, text));
    let by_grpc = expected.map(|(at, side, path, _, text)| (at, side, path, text));
    for (transport, expected) in [(Transport::TtHeader, by_tt), (Transport::Grpc, by_grpc)] {
        check_cancel(transport, expected).await;
    }
}

async fn check_cancel(
    transport: Transport,
    expected: [(usize, Side, Option<&'static str>, &'static str); 4],
) {
    loop {
        let since = Instant::now();
        let mut stage = Stage::over(transport).await;
        let (ctx, canceler) = Context::background().with_cancel();
        let mut down = stage.open(&ctx).await;
        canceler.cancel_with_cause("user pressed stop");
        assert!(soon(down.recv()).await.unwrap_err().is_canceled());
        stage.chain.parts(3).await;
        drop(down);
        until(|| stage.trees().is_empty()).await;
        until(|| stage.cancels().len() >= 4 || overrun(since)).await;
        let mut seen = stage.cancels();
        if seen.len() < 4 {
            continue;
        }
        // By gRPC a hop may be recorded after the next.
        seen.sort_by_key(|(at, cancel)| (*at, cancel.stream.side == Side::Server));
        assert_eq!(seen.len(), 4, "{seen:?}");
        for ((at, cancel), (to, side, path, text)) in seen.iter().zip(expected) {
            assert_eq!((*at, cancel.stream.side), (to, side));
            assert_eq!(
                (cancel.error.code(), cancel.error.kind()),
                (Some(Code::CANCELED_WITH_CAUSE), ErrorKind::Canceled)
            );
            assert_eq!(cancel.error.path().map(kitex::CancelPath::as_wire), path);
            assert!(cancel.error.message().starts_with(text), "{cancel:?}");
            assert!(cancel.took < crate::fixture::LONG);
        }
        return;
    }
}

#[tokio::test]
async fn inspect_json_has_cancels() {
    let mut stage = Stage::new().await;
    loop {
        let since = Instant::now();
        let down = stage.open(&Context::background()).await;
        let trees = stage.trees();
        let label = line(&trees[0])[5].info.label;
        drop(down);
        stage.chain.parts(3).await;
        until(|| stage.trees().is_empty()).await;
        let id = format!("{}.{}", label.connection, label.stream);
        let shown = || to_json()["cancels"].as_array().unwrap().iter().find(|one| one["id"] == id).cloned();
        until(|| shown().is_some() || overrun(since)).await;
        let Some(cancel) = shown() else { continue };
        assert_eq!(cancel["path"], serde_json::json!(["ServiceA", "ServiceB", "ServiceC"]));
        assert_eq!((&cancel["code"], &cancel["side"]), (&12007.into(), &"server".into()));
        assert_eq!((&cancel["kind"], &cancel["own_service"]), (&"canceled".into(), &"ServiceD".into()));
        assert_eq!((&cancel["service"], &cancel["method"]), (&"Echo".into(), &"Down".into()));
        assert!(cancel["cause"].as_str().unwrap().starts_with("user code invoking stream RPC"));
        assert!(
            cancel["took_us"].is_u64() && cancel["at_ms"].as_u64().unwrap() > 0 && cancel["id"].is_string()
        );
        break;
    }
}

/// Returns whether the cancels of other tests may have taken the place of one that was received after `since`.
fn overrun(since: Instant) -> bool {
    let seen = cancels();
    seen.len() >= 256 && seen.first().is_some_and(|oldest| oldest.received >= since)
}

/// A handler drops the last handle of its stream as soon as it sees the cancel, while there is much below it to cancel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspect_records_a_cancel_whose_handler_ends_at_once() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        let (reporter, mut reported): (_, Reports<Vec<(Context, kitex::Canceler)>>) = reports();
        let handlers = Handlers::default().bidi(move |ctx, stream| {
            let reporter = reporter.clone();
            async move {
                stream.send(&Resp::default()).await?;
                let below = (0..2_000).map(|_| ctx.with_cancel()).collect();
                let error = ctx.canceled().await;
                drop(stream);
                // Dropped by the test: that takes time.
                reporter.send(below);
                Err(kitex::Error::from(error))
            }
        });
        let peer = Peer::start(handlers).await;
        let client = peer.client_with(|client| client.transport(transport));
        let server = Address::from(peer.address.parse::<SocketAddr>().unwrap());
        for round in 0..100 {
            let since = Instant::now();
            let mut stream = soon(client.bidi(&Context::background())).await.unwrap();
            soon(stream.recv()).await.unwrap();
            drop(stream);
            reported.next().await;
            let own = |cancel: &CancelView| {
                let CancelView { stream, received, .. } = cancel;
                stream.side == Side::Server && stream.local == server && *received >= since
            };
            let recorded = tokio::time::timeout(LONG, async {
                while !cancels().iter().any(own) && !overrun(since) {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            assert!(recorded.await.is_ok(), "{transport:?}: cancel {round} has no record");
        }
    }
}

/// Returns the status, the content type and the body of the response to a GET.
#[cfg(feature = "inspect-http")]
async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut socket = soon(tokio::net::TcpStream::connect(address)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (head[9..12].parse().unwrap(), kind.to_owned(), body.to_owned())
}

#[cfg(feature = "inspect-http")]
#[tokio::test]
async fn inspect_json_is_served_over_http() {
    let stage = Stage::new().await;
    let _down = stage.open(&Context::background()).await;
    let server = kitex::inspect::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let served = tokio::spawn(server.serve());
    for path in ["/", "/streams"] {
        let (status, kind, body) = get(address, path).await;
        assert_eq!((status, &*kind), (200, "application/json"));
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        let to_b = stage.addresses[0].to_string();
        assert!(json["streams"].as_array().unwrap().iter().any(|stream| stream["peer"] == *to_b), "{json}");
        assert!(json["cancels"].is_array());
    }
    served.abort();
}

#[cfg(feature = "inspect-http")]
#[tokio::test]
async fn inspect_http_serves_pages_and_readiness_from_bind_to_draining() {
    use kitex::Server;
    use kitex::server::Readiness;

    let readiness = Readiness::new();
    let http = kitex::inspect::bind("127.0.0.1:0").await.unwrap().readiness(readiness.clone());
    let http = http.page("/metrics", "text/plain; version=0.0.4", || "up 1\n".to_owned()).page(
        "/bad",
        "text/plain",
        || panic!("of a page"),
    );
    let address = http.local_addr();
    let served = tokio::spawn(http.serve());
    let rows = [
        ("/metrics", 200, "text/plain; version=0.0.4", "up 1\n"),
        ("/healthz", 200, "text/plain; charset=utf-8", "ok\n"),
        ("/bad", 500, "text/plain; charset=utf-8", "the page panicked\n"),
        ("/metrics/more", 404, "text/plain; charset=utf-8", "no such page\n"),
    ];
    for (path, status, kind, body) in rows {
        assert_eq!(get(address, path).await, (status, kind.to_owned(), body.to_owned()), "{path}");
    }
    let builders = ["one", "two"].map(|name| Server::builder(name).readiness(&readiness));
    let mut servers = Vec::new();
    for (builder, bound) in builders.into_iter().zip([0, 1]) {
        assert_eq!((get(address, "/readyz").await.0, servers.len()), (503, bound));
        servers.push(builder.bind("127.0.0.1:0").await.unwrap());
    }
    assert_eq!(get(address, "/readyz").await.0, 200);
    // The first server has nothing to wait for, so it is gone at once.
    soon(servers.remove(0).serve_until(async {})).await;
    assert_eq!(get(address, "/readyz").await.0, 503);
    served.abort();
}

/// A view holds a stream's handle for a moment. If the user drops the others meanwhile, the stream ends where it is
/// viewed. The callback keeps the user between the end of the stream and the drop of the handle.
#[test]
fn inspect_of_a_stream_that_is_dropped_meanwhile_blocks_nobody() {
    let (opener_done, ended) = mpsc::sync_channel(2);
    let viewer_done = opener_done.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for transport in [Transport::TtHeader, Transport::Grpc] {
            runtime.block_on(async {
                let chain = Chain::over(&[("ServiceB", transport)]).await;
                let client = chain.first().client_with(|client| client.transport(transport));
                for _ in 0..500 {
                    let down = soon(client.down(&Context::background(), req("", 0))).await.unwrap();
                    down.on_close(|_| (0..1_000).for_each(|_| spin_loop()));
                    drop(down);
                }
            });
        }
        stop.store(true, SeqCst);
        opener_done.send("opener").unwrap();
    });
    thread::spawn(move || {
        while !stopped.load(SeqCst) {
            streams();
        }
        viewer_done.send("viewer").unwrap();
    });
    for _ in 0..2 {
        ended.recv_timeout(Duration::from_secs(60)).expect("neither thread waits for a lock without end");
    }
}

/// The cause of a cancel whose drop looks at every open stream, as a user's value may: it is dropped without a lock.
#[derive(Debug)]
struct Looks(mpsc::SyncSender<usize>);

impl Drop for Looks {
    fn drop(&mut self) {
        let _ = self.0.try_send(streams().len());
    }
}

impl std::fmt::Display for Looks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("enough")
    }
}

impl std::error::Error for Looks {}

/// The stream holds the cause longer than anything else does.
#[test]
fn inspect_in_the_drop_of_a_cause_blocks_nobody() {
    for (transport, foreign) in
        [Transport::TtHeader, Transport::Grpc].into_iter().flat_map(|one| [(one, false), (one, true)])
    {
        let (looked, seen) = mpsc::sync_channel(1);
        let (done, ended) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let chain = Chain::over(&[("ServiceB", transport)]).await;
                let client = chain.first().client_with(|client| client.transport(transport));
                let (ctx, canceler) = Context::background().with_cancel();
                let mut down = soon(client.down(&ctx, req("", 0))).await.unwrap();
                match foreign {
                    true => canceler.cancel_foreign(Looks(looked)),
                    false => canceler.cancel_with_cause(Looks(looked)),
                }
                assert!(soon(down.recv()).await.is_err());
                drop((ctx, canceler));
                // Records of cancels hold it too.
                for _ in 0..300 {
                    drop(soon(client.down(&Context::background(), req("", 0))).await.unwrap());
                }
                drop(down);
                soon(client.close()).await;
            });
            done.send(()).unwrap();
        });
        let what = format!("{transport:?}, foreign: {foreign}");
        ended.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what}: it waits for a lock"));
        seen.recv_timeout(Duration::from_secs(60))
            .unwrap_or_else(|_| panic!("{what}: the cause was dropped"));
    }
}
