//! Several instances of one service: each gets its share of streams and calls; those that are gone, added or dead.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kitex::client::{
    Balance, CallOptions, Connector, ConsistentHash, Instance, InstanceFile, LeastStreams, PoolKind,
    RoundRobin, SharedInstances, StaticAddresses, Transport,
};
use kitex::stream_core::BoxFuture;
use kitex::stream_core::io::Io;
use kitex::{Context, ServerStreamingClient};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::fixture::{
    EchoClient, Handlers, LONG, Peer, Proxy, Refusing, Resp, Unreachable, builder, ended, req, soon, until,
};

const BOTH: [Transport; 2] = [Transport::TtHeader, Transport::Grpc];

/// Streams that say the server's name and stay open; calls that return it.
fn named(name: &str) -> Handlers {
    let (of_stream, of_call) = (name.to_owned(), name.to_owned());
    Handlers::default()
        .down(move |ctx, _, stream| {
            let name = of_stream.clone();
            async move {
                stream.send(&Resp { msg: Some(name.into()), ..Resp::default() }).await?;
                Err(ctx.canceled().await.into())
            }
        })
        .unary(move |_, _| {
            let name = of_call.clone();
            async move { Ok(Resp { msg: Some(name.into()), ..Resp::default() }) }
        })
}

async fn servers(count: usize) -> Vec<Peer> {
    let mut servers = Vec::new();
    for number in 0..count {
        servers.push(Peer::start(named(&format!("s{number}"))).await);
    }
    servers
}

fn addresses(servers: &[Peer]) -> Vec<&str> {
    servers.iter().map(|server| &*server.address).collect()
}

/// Long streams, and how many of them each server has.
#[derive(Default)]
struct Open {
    streams: Vec<(String, ServerStreamingClient<Resp>)>,
}

impl Open {
    async fn add(&mut self, client: &EchoClient, count: usize) -> BTreeMap<String, usize> {
        let mut added = BTreeMap::new();
        for _ in 0..count {
            let mut stream = client.down(&Context::background(), req("", 0)).await.unwrap();
            let name = name(soon(stream.recv()).await.unwrap());
            *added.entry(name.clone()).or_default() += 1;
            self.streams.push((name, stream));
        }
        added
    }

    fn of(&self, name: &str) -> usize {
        self.streams.iter().filter(|(of, _)| of == name).count()
    }
}

fn name(resp: Option<Resp>) -> String {
    resp.unwrap().msg.unwrap().to_string()
}

async fn call(client: &EchoClient, ctx: &Context) -> String {
    name(Some(soon(client.unary(ctx, req("", 0))).await.unwrap()))
}

#[tokio::test]
async fn least_streams_spreads_long_streams_over_instances_that_come_and_go() {
    for transport in BOTH {
        let mut servers = servers(5).await;
        let (instances, mut open) = (SharedInstances::default(), Open::default());
        instances.set(addresses(&servers[..4]));
        let client = builder("").addresses(instances.clone()).transport(transport).pool(PoolKind::Mux(2));
        let client = EchoClient::new(client.build().unwrap());
        let counts = open.add(&client, 400).await;
        assert!(counts.len() == 4 && counts.values().all(|count| *count <= 130), "{transport:?}: {counts:?}");

        instances.set(addresses(&servers));
        open.add(&client, 100).await;
        assert!(open.of("s4") >= 25, "{transport:?}: a new instance gets its share: {}", open.of("s4"));

        instances.set(addresses(&servers[1..]));
        let counts = open.add(&client, 100).await;
        assert!(
            !counts.contains_key("s0"),
            "{transport:?}: an instance that is gone gets nothing: {counts:?}"
        );
        for (_, stream) in open.streams.iter_mut().filter(|(name, _)| name == "s0") {
            let next = tokio::time::timeout(Duration::ZERO, stream.recv()).await;
            assert!(next.is_err(), "{transport:?}: its streams go on: {next:?}");
        }
        open.streams.retain(|(name, _)| name != "s0");
        // Without a stream its connections close, so it shuts down at once.
        servers.remove(0).shut_down().await;
        open.add(&client, 10).await;
        assert_eq!(client.as_ref().pool_stats().failed_dials, 0, "{transport:?}");
    }
}

#[tokio::test]
async fn a_dead_instance_is_skipped_and_no_later_call_pays() {
    let pools = [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short];
    for (pool, transport) in pools.into_iter().flat_map(|pool| BOTH.map(|transport| (pool, transport))) {
        let (servers, refusing, silent) = (servers(2).await, Refusing::new(), Unreachable::new().await);
        // Refuses at once, or does not answer within the connect timeout.
        for dead in [&refusing.address, &silent.address] {
            let all = [&servers[0].address, dead, &servers[1].address];
            let client = builder("").addresses(StaticAddresses::new(all)).balance(RoundRobin::default());
            let client = client.pool(pool).transport(transport).connect_timeout(Duration::from_millis(300));
            let client = EchoClient::new(client.build().unwrap());
            let (mut open, ctx) = (Open::default(), Context::background());
            let failed = || client.as_ref().pool_stats().failed_dials;
            for _ in 0..3 {
                let before = failed();
                open.add(&client, 1).await;
                assert!(failed() <= before + 1, "{pool:?} {transport:?}: one connect timeout a call at most");
                call(&client, &ctx).await;
            }
            let counts = open.add(&client, 20).await;
            for _ in 0..20 {
                call(&client, &ctx).await;
            }
            assert_eq!(counts.len(), 2, "{pool:?} {transport:?}");
            // If it was not ejected, every third would dial it.
            let failed = failed();
            assert!(failed < 10, "{pool:?} {transport:?}: it is ejected for growing times: {failed}");
        }
    }
}

/// A server on a runtime of its own, which ends with all its sockets when the sender is dropped, as with its process.
fn mortal(name: &str) -> (String, oneshot::Sender<()>, thread::JoinHandle<()>) {
    let ((stop, stopped), (sender, receiver)) = (oneshot::channel::<()>(), mpsc::sync_channel(1));
    let handlers = named(name);
    let thread = thread::spawn(move || {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(async {
            let peer = Peer::start(handlers).await;
            sender.send(peer.address.clone()).unwrap();
            let _ = stopped.await;
        });
    });
    (receiver.recv().unwrap(), stop, thread)
}

#[tokio::test]
async fn an_instance_that_is_killed_costs_its_own_streams_alone() {
    for transport in BOTH {
        let servers = servers(3).await;
        let (address, kill, thread) = mortal("mortal");
        let all = servers.iter().map(|server| &*server.address).chain([&*address]);
        let client = builder("").addresses(StaticAddresses::new(all)).transport(transport);
        let client = EchoClient::new(client.pool(PoolKind::Mux(2)).build().unwrap());
        let mut open = Open::default();
        open.add(&client, 80).await;
        assert!(open.of("mortal") > 0, "{transport:?}");
        drop(kill);
        thread.join().unwrap();
        for (name, stream) in &mut open.streams {
            match &**name {
                "mortal" => assert_ne!(ended(&soon(stream.recv()).await), "ok", "{transport:?}"),
                _ => {
                    let next = tokio::time::timeout(Duration::ZERO, stream.recv()).await;
                    assert!(next.is_err(), "{transport:?}: a stream of {name} goes on: {next:?}");
                }
            }
        }
        let counts = open.add(&client, 60).await;
        for _ in 0..60 {
            assert_ne!(call(&client, &Context::background()).await, "mortal");
        }
        assert!(counts.len() == 3 && !counts.contains_key("mortal"), "{transport:?}: {counts:?}");
    }
}

/// Streams and calls that fail; streams by name are those that the client cancels.
fn failing() -> Handlers {
    let failed = || Err(kitex::Error::other("out of memory"));
    let down = move |ctx: Context, _, stream: kitex::ServerStreamingServer<Resp>| async move {
        if ctx.persistent("cancels").is_none() {
            return failed();
        }
        stream.send(&Resp { msg: Some("failing".into()), ..Resp::default() }).await?;
        Err(ctx.canceled().await.into())
    };
    Handlers::default().down(down).unary(move |_, _| async move { failed().map(|()| Resp::default()) })
}

/// Makes 300 streams or calls, one after the other. Returns how many of them were at the instance that fails.
async fn at_failing(client: &EchoClient, what: &str) -> usize {
    let mut count = 0;
    for _ in 0..300 {
        let (ctx, canceler) = Context::background().with_cancel();
        count += usize::from(match what {
            "calls" => soon(client.unary(&ctx, req("", 0))).await.is_err(),
            "streams" => {
                let mut stream = client.down(&ctx, req("", 0)).await.unwrap();
                soon(stream.recv()).await.is_err()
            }
            _ => {
                let ctx = ctx.with_persistent("cancels", "1");
                let mut stream = client.down(&ctx, req("", 0)).await.unwrap();
                let name = name(soon(stream.recv()).await.unwrap());
                canceler.cancel();
                assert!(soon(stream.recv()).await.is_err());
                name == "failing"
            }
        });
    }
    count
}

#[tokio::test]
async fn an_instance_whose_streams_or_calls_keep_failing_is_ejected() {
    // Without ejection a third, 100, or a half where a busy machine was slow to dial another instance. With it five, and one
    // more after each ejection.
    let rows = [("streams", 5..50), ("calls", 5..50), ("cancels", 80..160)];
    for (transport, (what, expected)) in
        BOTH.into_iter().flat_map(|transport| rows.clone().map(|row| (transport, row)))
    {
        let (failing, servers) = (Peer::start(failing()).await, servers(2).await);
        let all = [&failing.address, &servers[0].address, &servers[1].address];
        let client = builder("").addresses(StaticAddresses::new(all)).balance(RoundRobin::default());
        let client = EchoClient::new(client.transport(transport).build().unwrap());
        let count = at_failing(&client, what).await;
        assert!(expected.contains(&count), "{transport:?}: {what}: {count} of 300");
    }
}

#[tokio::test]
async fn an_ejected_instance_that_is_back_is_used_again() {
    let (servers, refusing) = (servers(1).await, Refusing::new());
    let address = refusing.address.clone();
    let all = StaticAddresses::new([&servers[0].address, &address]);
    let client = EchoClient::new(builder("").addresses(all).build().unwrap());
    let mut open = Open::default();
    open.add(&client, 10).await;
    drop(refusing);
    let back = Peer::bind(
        kitex::Server::builder("ServiceB").service(crate::fixture::echo::EchoServer::new(named("back"))),
        &address,
    );
    let _back = back.await;
    soon(async {
        while open.of("back") == 0 {
            open.add(&client, 1).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// The handshake of its connection takes long, so that others are used meanwhile.
#[tokio::test]
async fn an_instance_whose_first_connection_took_long_gets_its_share_once_it_is_open() {
    let (one, two) = (Peer::start(named("slow")).await, Peer::start(named("other")).await);
    let proxy = Proxy::to(&one.address).await;
    proxy.hold();
    let all = StaticAddresses::new([&proxy.address, &two.address]);
    let client = builder("").addresses(all).transport(Transport::Grpc).build().unwrap();
    let client = EchoClient::new(client);
    let mut open = Open::default();
    while client.as_ref().pool_stats().unreachable_instances == 0 {
        assert_eq!(open.add(&client, 1).await.into_keys().collect::<Vec<_>>(), ["other"]);
    }
    proxy.pass();
    until(|| client.as_ref().pool_stats().connections == 2).await;
    soon(async {
        while open.of("slow") == 0 {
            open.add(&client, 1).await;
        }
    })
    .await;
    assert_eq!(client.as_ref().pool_stats().unreachable_instances, 0);
}

type Change<'a> = &'a dyn Fn(&mut CallOptions);

#[tokio::test]
async fn balance_options_and_tags_select_the_instance() {
    let servers = servers(3).await;
    let zones = ["a", "b", "a"];
    let tagged = servers.iter().zip(zones);
    let tagged: Vec<_> =
        tagged.map(|(server, zone)| Instance::new(&*server.address).with_tag("zone", zone)).collect();
    for transport in BOTH {
        let client = builder("").addresses(StaticAddresses::new(tagged.clone())).transport(transport);
        let client = EchoClient::new(client.build().unwrap());
        let elsewhere = Peer::start(named("elsewhere")).await;
        let rows: [(&str, Change<'_>, &[&str]); 4] = [
            ("a tag", &|options| options.tag = Some(("zone".into(), "b".into())), &["s1"]),
            ("a tag of two", &|options| options.tag = Some(("zone".into(), "a".into())), &["s0", "s2"]),
            ("an address", &|options| options.address = Some(servers[2].address.as_str().into()), &["s2"]),
            (
                "an address that is no instance",
                &|options| options.address = Some(elsewhere.address.as_str().into()),
                &["elsewhere"],
            ),
        ];
        for (what, change, expected) in rows {
            let client = client.with_options(change);
            let mut names: Vec<String> = Open::default().add(&client, 30).await.into_keys().collect();
            for _ in 0..30 {
                names.push(call(&client, &Context::background()).await);
            }
            names.sort();
            names.dedup();
            assert_eq!(names, expected, "{transport:?}: {what}");
        }
        let none = client.with_options(|options| options.tag = Some(("zone".into(), "z".into())));
        let opened = none.down(&Context::background(), req("", 0)).await;
        let text = opened.map(drop).unwrap_err().to_string();
        assert!(text.contains("no instance has the tag zone=z"), "{text}");
    }
}

#[tokio::test]
async fn consistent_hash_sends_one_conversation_to_one_instance() {
    for transport in BOTH {
        let servers = servers(4).await;
        let client = builder("").addresses(StaticAddresses::new(addresses(&servers))).transport(transport);
        let client = client.balance(ConsistentHash::by_metainfo("conversation")).build().unwrap();
        let client = EchoClient::new(client);
        // The client knows its instances after a call. A connection to each, since a dial that takes long is not waited for.
        call(&client, &Context::background()).await;
        for server in &servers {
            let address = Some(server.address.as_str().into());
            let here = client.with_options(|options| options.address = address.clone());
            call(&here, &Context::background()).await;
            Open::default().add(&here, 1).await;
        }
        let mut used = BTreeMap::<String, usize>::new();
        for conversation in 0..40 {
            let ctx = Context::background().with_persistent("conversation", conversation.to_string());
            let first = call(&client, &ctx).await;
            let mut stream = client.down(&ctx, req("", 0)).await.unwrap();
            assert_eq!(name(soon(stream.recv()).await.unwrap()), first, "{transport:?}: {conversation}");
            *used.entry(first).or_default() += 1;
        }
        assert_eq!(used.len(), 4, "{transport:?}: {used:?}");
    }
}

#[tokio::test]
async fn instance_file_is_read_again_and_the_first_call_waits_for_it() {
    let servers = servers(2).await;
    let path = std::env::temp_dir().join(format!("kitex-instances-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let file = InstanceFile::every(&path, Duration::from_millis(10));
    // The first set has that time.
    let client = builder("").addresses(file).connect_timeout(LONG);
    let client = EchoClient::new(client.build().unwrap());
    let ctx = Context::background();
    let first = {
        let (client, ctx) = (client.clone(), ctx.clone());
        tokio::spawn(async move { call(&client, &ctx).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!first.is_finished(), "there is no file yet");
    std::fs::write(&path, format!("{} weight=5 # the first\n", servers[0].address)).unwrap();
    assert_eq!(soon(first).await.unwrap(), "s0");
    // What cannot be parsed changes nothing.
    for (text, expected) in [(format!("{}\n", servers[1].address), "s1"), ("a weight=x".to_owned(), "s1")] {
        std::fs::write(&path, text).unwrap();
        soon(async {
            while call(&client, &ctx).await != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    let _ = std::fs::remove_file(&path);
}

/// A balancer that panics selects the first candidate, and one whose index is none does too.
#[derive(Debug)]
struct Odd(bool);

impl Balance for Odd {
    fn pick(
        &self,
        candidates: &kitex::client::Candidates<'_>,
        _: &kitex::stream_core::call::OutgoingCall<'_>,
    ) -> usize {
        assert!(self.0, "no choice");
        candidates.len() + 7
    }
}

#[tokio::test]
async fn a_panic_of_a_balancer_fails_no_call() {
    let servers = servers(2).await;
    for odd in [true, false] {
        let client = builder("").addresses(StaticAddresses::new(addresses(&servers))).balance(Odd(odd));
        let client = EchoClient::new(client.build().unwrap());
        assert_eq!(call(&client, &Context::background()).await, "s0");
    }
}

/// No address answers.
#[derive(Debug)]
struct Silent;

impl Connector for Silent {
    fn connect<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, io::Result<Io>> {
        Box::pin(std::future::pending())
    }
}

/// A source may have thousands of instances of which none answers: a call without a deadline fails all the same.
#[tokio::test(start_paused = true)]
async fn a_call_that_no_instance_answers_ends_after_5_s_of_tries_and_one_dial() {
    const MOST: Duration = Duration::from_secs(7);
    for (transport, count) in BOTH.into_iter().flat_map(|transport| [(transport, 5), (transport, 2_000)]) {
        let source = SharedInstances::default();
        source
            .set((0..count).map(|number| Instance::new(format!("10.1.{}.{}:1", number / 250, number % 250))));
        let builder = builder("").addresses(source).connector(Silent).connect_timeout(Duration::from_secs(1));
        let client = EchoClient::new(builder.transport(transport).build().unwrap());
        for is_stream in [true, false] {
            let (ctx, began) = (Context::background(), Instant::now());
            let called = match is_stream {
                true => client.bidi(&ctx).await.map(drop),
                false => client.unary(&ctx, req("", 0)).await.map(drop),
            };
            assert!(called.is_err(), "{transport:?} {count} {is_stream}");
            let took = began.elapsed();
            assert!(took <= MOST, "{transport:?} {count} {is_stream}: {took:?}");
        }
    }
}

#[tokio::test]
async fn a_source_without_a_first_set_fails_calls_after_the_connect_timeout() {
    let instances = SharedInstances::default();
    let client = builder("").addresses(instances.clone()).balance(LeastStreams::default());
    let client = EchoClient::new(client.connect_timeout(Duration::from_millis(50)).build().unwrap());
    let called = soon(client.unary(&Context::background(), req("", 0))).await;
    assert!(ended(&called).starts_with("connect"), "{}", ended(&called));
    let servers = servers(1).await;
    instances.set(addresses(&servers));
    assert_eq!(call(&client, &Context::background()).await, "s0");
    until(|| client.as_ref().pool_stats().dials == 1).await;
}
