//! Pools: which connection a stream gets, and when a connection is reused: mux, long and short.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kitex::client::{PoolKind, RoundRobin, StaticAddresses};
use kitex::{BidiStreamingClient, BizStatusError, Client, Context, Error, RecvTimeout};

use crate::fixture::of_ttheader_alone;
use crate::fixture::{EchoClient, Handlers, Peer, Proxy, Req, Resp, builder, ended, req, resp, soon, until};

/// Handlers whose first response identifies their connection: its seq is the port of the client's
/// end. What then happens is in the request.
fn tells_port() -> Handlers {
    Handlers::default().bidi(|ctx, mut stream| async move {
        let port = ctx.peer().map_or(0, |peer| i64::from(peer.socket_addr().unwrap().port()));
        stream.send(&resp("", port)).await?;
        match stream.recv().await?.and_then(|req| req.msg).as_deref() {
            Some("biz") => return Err(BizStatusError::new(404, "no").into()),
            Some("fail") => return Err(Error::other("failed")),
            Some("wait") => drop(ctx.canceled().await),
            _ => {}
        }
        Ok(())
    })
}

type Stream = BidiStreamingClient<Req, Resp>;

async fn open(client: &EchoClient) -> (Stream, i64) {
    let mut stream = client.bidi(&Context::background()).await.unwrap();
    let port = soon(stream.recv()).await.unwrap().unwrap().seq.unwrap();
    (stream, port)
}

/// Ends a stream by its trailers.
async fn end(mut stream: Stream) {
    stream.close_send();
    assert_eq!(soon(stream.recv()).await.unwrap(), None);
}

fn count(ports: impl IntoIterator<Item = i64>) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for port in ports {
        *counts.entry(port).or_insert(0) += 1;
    }
    counts.into_values().collect()
}

#[tokio::test]
async fn mux_pool_opens_on_the_least_loaded_connection() {
    let peer = Peer::start(tells_port()).await;
    let client = peer.raw_client(|client| client.pool(PoolKind::Mux(3)));
    let echo = EchoClient::new(client.clone());
    assert_eq!(client.pool_stats().dials, 0, "nothing is dialed before the first call");
    // All at once: a dial that takes long beside an open connection is not waited for.
    for (stream, _) in soon(join_all((0..3).map(|_| open(&echo)))).await {
        end(stream).await;
    }
    until(|| client.pool_stats().streams == 0).await;
    let mut streams = Vec::new();
    for _ in 0..9 {
        streams.push(open(&echo).await);
    }
    assert_eq!(count(streams.iter().map(|(_, port)| *port)), [3, 3, 3]);
    let stats = client.pool_stats();
    assert_eq!((stats.connections, stats.streams, stats.dials, stats.failed_dials), (3, 9, 3, 0));

    let freed = streams[0].1;
    let (gone, stay): (Vec<_>, Vec<_>) = streams.into_iter().partition(|(_, port)| *port == freed);
    for (stream, _) in gone {
        end(stream).await;
    }
    assert_eq!(client.pool_stats().streams, 6);
    let mut next = Vec::new();
    for _ in 0..3 {
        next.push(open(&echo).await);
    }
    assert_eq!(count(next.iter().map(|(_, port)| *port)), [3], "all on the connection that had room");
    assert_eq!(next[0].1, freed);
    drop((stay, next));
    until(|| client.pool_stats().streams == 0).await;
    assert_eq!(client.pool_stats().connections, 3, "a cancel costs a stream, not its connection");
}

#[tokio::test]
async fn mux_pool_spreads_concurrent_openings() {
    let peer = Peer::start(tells_port()).await;
    let client = peer.client_with(|client| client.pool(PoolKind::Mux(4)));
    let opening = (0..40).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { open(&client).await })
    });
    let mut ports = Vec::new();
    let mut streams = Vec::new();
    for stream in opening.collect::<Vec<_>>() {
        let (stream, port) = soon(stream).await.unwrap();
        ports.push(port);
        streams.push(stream);
    }
    assert_eq!(count(ports), [10, 10, 10, 10]);
}

/// How a stream ends, and whether the next gets its connection.
const LONG: &[(&str, bool)] = &[
    ("well", true),
    ("biz", true),
    ("fail", true),
    ("drop", false),
    ("cancel", false),
    ("recv timeout", false),
    ("recv timeout that keeps the stream, then drop", false),
];

#[tokio::test]
async fn long_pool_reuses_connections_of_cleanly_ended_streams() {
    if of_ttheader_alone("what is left of one stream on a connection harms no other") {
        return;
    }
    let peer = Peer::start(tells_port()).await;
    let proxy = Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).pool(PoolKind::long()).build().unwrap());
    let short = Duration::from_millis(30);
    for (ends, again) in LONG {
        let (stream, first) = open(&client).await;
        let keeps = RecvTimeout { timeout: short, disable_cancel_remote: true };
        match *ends {
            "well" => end(stream).await,
            "biz" | "fail" => {
                let mut stream = stream;
                stream.send(&req(ends, 0)).await.unwrap();
                assert!(soon(stream.recv()).await.is_err());
            }
            "drop" => drop(stream),
            "cancel" => {
                let (ctx, canceler) = Context::background().with_cancel();
                drop(stream);
                let mut stream = client.bidi(&ctx).await.unwrap();
                soon(stream.recv()).await.unwrap();
                canceler.cancel();
                assert!(soon(stream.recv()).await.is_err());
            }
            _ => {
                drop(stream);
                let timeout = if ends.contains("keeps") { keeps } else { RecvTimeout::new(short) };
                let mut stream =
                    client.with_recv_timeout(timeout).bidi(&Context::background()).await.unwrap();
                while soon(stream.recv()).await.is_ok() {}
            }
        }
        let (stream, second) = open(&client).await;
        assert_eq!(first == second, *again, "{ends}");
        end(stream).await;
    }
    // One idles; those whose stream did not end cleanly are closed.
    until(|| proxy.open() == 1).await;
}

#[tokio::test]
async fn long_pool_gives_each_stream_its_own_connection() {
    let peer = Peer::start(tells_port()).await;
    for pool in [PoolKind::long(), PoolKind::Short] {
        let client = peer.raw_client(|client| client.pool(pool));
        let echo = EchoClient::new(client.clone());
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(open(&echo).await);
        }
        assert_eq!(count(streams.iter().map(|(_, port)| *port)), [1; 5], "{pool:?}");
        for (stream, _) in streams {
            end(stream).await;
        }
        let waiting = if pool == PoolKind::Short { 0 } else { 5 };
        until(|| client.pool_stats().connections == waiting).await;
        assert_eq!(client.pool_stats().dials, 5, "{pool:?}");
    }
}

#[tokio::test]
async fn long_pool_bounds_idle_connections_and_their_time() {
    let peer = Peer::start(tells_port()).await;
    let proxy = Proxy::to(&peer.address).await;
    let few = (PoolKind::Long { max_idle: 2 }, Duration::from_secs(3600), 2);
    let brief = (PoolKind::Long { max_idle: 9 }, Duration::from_millis(200), 0);
    for (pool, idle_timeout, left) in [few, brief] {
        let client = builder(&proxy.address).pool(pool).idle_timeout(idle_timeout);
        let client = EchoClient::new(client.build().unwrap());
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(open(&client).await.0);
        }
        assert_eq!(proxy.open(), 5, "{pool:?}");
        for stream in streams {
            end(stream).await;
        }
        // By a timer: no connection is requested any more.
        until(|| proxy.open() == left).await;
        assert_eq!(client.as_ref().pool_stats().connections, left, "{pool:?}");
        drop(client);
        until(|| proxy.open() == 0).await;
    }
}

#[tokio::test]
async fn short_pool_closes_a_connection_with_its_stream_or_call() {
    let peer = Peer::start(tells_port()).await;
    let proxy = Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).pool(PoolKind::Short).build().unwrap());
    for round in 1..=3 {
        end(open(&client).await.0).await;
        drop(open(&client).await);
        soon(client.unary(&Context::background(), req("", 0))).await.unwrap();
        assert_eq!(proxy.ever(), 3 * round);
        until(|| proxy.open() == 0).await;
    }
}

#[tokio::test]
async fn ping_pong_calls_reuse_connections_unless_short() {
    let peer = Peer::start(Handlers::default()).await;
    for (pool, connections) in [(PoolKind::Mux(2), 1), (PoolKind::long(), 1), (PoolKind::Short, 5)] {
        let proxy = Proxy::to(&peer.address).await;
        let client = EchoClient::new(builder(&proxy.address).pool(pool).build().unwrap());
        for seq in 0..5 {
            let answer = soon(client.unary(&Context::background(), req("", seq))).await.unwrap();
            assert_eq!(answer.seq, Some(seq));
        }
        assert_eq!(proxy.ever(), connections, "{pool:?}");
    }
}

/// A late response of an abandoned call must not be given to the next one.
#[tokio::test]
async fn ping_pong_call_that_is_dropped_closes_its_connection() {
    if of_ttheader_alone("what is left of one stream on a connection harms no other") {
        return;
    }
    let peer = Peer::start(Handlers::default().unary(|ctx, req| async move {
        if req.seq == Some(0) {
            ctx.canceled().await;
        }
        Ok(crate::fixture::answer(req))
    }))
    .await;
    let proxy = Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).build().unwrap());
    for round in 1..=3 {
        let late = Context::background().with_timeout(Duration::from_millis(50));
        assert_eq!(ended(&soon(client.unary(&late, req("", 0))).await), "timeout");
        let answer = soon(client.unary(&Context::background(), req("", 7))).await.unwrap();
        assert_eq!(answer.seq, Some(7));
        assert!(proxy.ever() <= round + 1 && proxy.ever() >= round, "{}", proxy.ever());
    }
}

#[tokio::test]
async fn drop_of_a_client_closes_idle_connections() {
    for pool in [PoolKind::Mux(3), PoolKind::long(), PoolKind::Short] {
        let peer = Peer::start(tells_port()).await;
        let proxy = Proxy::to(&peer.address).await;
        for leaves in [false, true] {
            let client = EchoClient::new(builder(&proxy.address).pool(pool).build().unwrap());
            let mut streams = Vec::new();
            for _ in 0..3 {
                streams.push(open(&client).await.0);
            }
            soon(client.unary(&Context::background(), req("", 0))).await.unwrap();
            let mut last = streams.pop().unwrap();
            drop(streams);
            if leaves {
                soon(client.as_ref().close()).await;
            }
            drop(client);
            last.close_send();
            assert_eq!(soon(last.recv()).await.unwrap(), None, "{pool:?}: what is open goes on");
            drop(last);
            until(|| proxy.open() == 0).await;
        }
    }
}

#[tokio::test]
async fn round_robin_uses_addresses_in_turn_and_a_refusing_one_is_skipped() {
    // A dial that takes long is given up for another address.
    while use_addresses_in_turn().await >= Duration::from_millis(250) {}
}

/// Returns how long the slowest stream took.
async fn use_addresses_in_turn() -> Duration {
    let (one, two) = (Peer::start(Handlers::default()).await, Peer::start(Handlers::default()).await);
    let proxies = [Proxy::to(&one.address).await, Proxy::to(&two.address).await];
    let refusing = crate::fixture::Refusing::new();
    let addresses = [&*proxies[0].address, &*refusing.address, &*proxies[1].address];
    let client = Client::builder("ServiceB").addresses(StaticAddresses::new(addresses)).pool(PoolKind::Short);
    let client = client.balance(RoundRobin::default()).build().unwrap();
    let echo = EchoClient::new(client.clone());
    let mut slowest = Duration::ZERO;
    for _ in 0..9 {
        let began = Instant::now();
        let mut down = echo.down(&Context::background(), req("", 1)).await.unwrap();
        while soon(down.recv()).await.unwrap().is_some() {}
        slowest = slowest.max(began.elapsed());
    }
    if slowest >= Duration::from_millis(250) {
        return slowest;
    }
    assert_eq!(proxies[0].ever() + proxies[1].ever(), 9);
    assert!(proxies[0].ever().abs_diff(proxies[1].ever()) <= 1, "those that are left take turns");
    let stats = client.pool_stats();
    assert_eq!(stats.dials - stats.failed_dials, 9);
    assert!((1..9).contains(&stats.failed_dials), "it is ejected after a failed dial: {stats:?}");
    slowest
}

/// A server that shuts down refuses what is new. A client that kept choosing it, because it has the
/// fewest streams, would fail although others are ready.
#[tokio::test]
async fn draining_server_gets_no_new_streams() {
    for pool in [PoolKind::Mux(2), PoolKind::Mux(1), PoolKind::long()] {
        let leaving = Peer::start(tells_port()).await;
        let staying = Peer::start(tells_port()).await;
        let addresses = [&*leaving.address, &*staying.address];
        let client = Client::builder("ServiceB").addresses(StaticAddresses::new(addresses)).pool(pool);
        let client = EchoClient::new(client.build().unwrap());
        let (held, _) = open(&client).await;
        let address = leaving.address.clone();
        let stopped = leaving.stop();
        soon(async {
            // What is opened meanwhile is served, by either.
            while tokio::net::TcpStream::connect(&address).await.is_ok() {
                let (stream, _) = open(&client).await;
                end(stream).await;
            }
        })
        .await;
        for _ in 0..5 {
            let (stream, _) = open(&client).await;
            end(stream).await;
        }
        end(held).await;
        soon(stopped).await.unwrap();
    }
}

#[tokio::test]
async fn idle_timeout_holds_for_the_connections_of_ping_pong_calls_too() {
    let peer = Peer::start(tells_port()).await;
    let rows = [
        (PoolKind::Mux(1), Duration::from_secs(3600), 1),
        (PoolKind::Mux(1), Duration::ZERO, 3),
        (PoolKind::Long { max_idle: 0 }, Duration::from_secs(3600), 3),
    ];
    for (pool, idle_timeout, connections) in rows {
        let proxy = Proxy::to(&peer.address).await;
        let client = builder(&proxy.address).pool(pool).idle_timeout(idle_timeout);
        let client = EchoClient::new(client.build().unwrap());
        for _ in 0..3 {
            soon(client.unary(&Context::background(), req("", 0))).await.unwrap();
        }
        assert_eq!(proxy.ever(), connections, "{pool:?} {idle_timeout:?}");
    }
}
