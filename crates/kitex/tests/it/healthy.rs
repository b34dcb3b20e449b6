//! A pool uses the connections that are open, and an opening fails only if there is none.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use kitex::client::{Connector, MemoryConnector, PoolKind, RoundRobin, StaticAddresses};
use kitex::server::MemoryListener;
use kitex::stream_core::dial::SystemConnector;
use kitex::stream_core::io::Io;
use kitex::{Context, Server};
use tokio::net::TcpListener;

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, Peer, builder, ended, req, soon, until};

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(3600);

async fn count(client: &EchoClient, messages: i64) -> Result<usize, String> {
    let ctx = Context::background();
    let mut down = soon(client.down(&ctx, req("", messages))).await.map_err(|error| error.to_string())?;
    let mut got = 0;
    while soon(down.recv()).await.map_err(|error| error.to_string())?.is_some() {
        got += 1;
    }
    Ok(got)
}

#[tokio::test]
async fn pool_uses_an_open_connection_while_dials_fail() {
    let server = Server::builder("ServiceB")
        .service(EchoServer::new(Handlers::default()))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let address = server.local_addr().to_string();
    let accepting = tokio::spawn(server.serve());
    let client = EchoClient::new(builder(&address).pool(PoolKind::Mux(4)).build().unwrap());
    let keep = client.bidi(&Context::background()).await.unwrap();
    keep.send(&req("", 0)).await.unwrap();
    until(|| client.as_ref().pool_stats().connections == 1).await;
    // The listener is closed, its connections are open.
    accepting.abort();
    let _ = accepting.await;
    for at in 0..200 {
        assert_eq!(count(&client, 1).await, Ok(1), "{at}");
    }
    let stats = client.as_ref().pool_stats();
    assert_eq!(stats.connections, 1);
    assert!((1..100).contains(&stats.failed_dials), "other connections were tried, with backoff: {stats:?}");
}

#[tokio::test]
async fn pool_uses_an_open_connection_while_a_dial_hangs() {
    let server = Server::builder("ServiceB")
        .service(EchoServer::new(Handlers::default()))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let good = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let unreachable = crate::fixture::Unreachable::new().await;
    // Without ejection, every second stream would go to the unreachable address.
    let client = builder(&good)
        .balance(kitex::client::RoundRobin::default())
        .addresses(kitex::client::StaticAddresses::new([good.clone(), unreachable.address.clone()]));
    let client = client.pool(PoolKind::Mux(2)).connect_timeout(Duration::from_secs(3600)).build().unwrap();
    let client = EchoClient::new(client);
    assert_eq!(count(&client, 1).await, Ok(1));
    for at in 0..20 {
        assert_eq!(count(&client, 1).await, Ok(1), "{at}");
    }
}

/// An address of a source does not respond, or its connector hangs: the next one is tried meanwhile, by streams and calls
/// of every pool.
#[tokio::test]
async fn dial_tries_the_next_address_of_a_source_while_one_hangs() {
    let peer = Peer::start(Handlers::default()).await;
    let unreachable = crate::fixture::Unreachable::new().await;
    let (good, silent) = (peer.address.clone(), unreachable.address.clone());
    let refusing = crate::fixture::Refusing::new();
    let rows = [
        vec![silent.clone(), good.clone()],
        vec![good.clone(), silent.clone()],
        vec![silent.clone(), refusing.address.clone(), silent.clone(), good.clone()],
    ];
    let pools = [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short];
    let tries = rows.iter().flat_map(|addresses| pools.map(|pool| (addresses.clone(), pool)));
    let tries = tries.map(|(addresses, pool)| async move {
        let source = kitex::client::StaticAddresses::new(addresses.clone());
        let client = builder("unused:1").addresses(source).pool(pool).connect_timeout(NEVER);
        let client = EchoClient::new(client.build().unwrap());
        for at in 0..3 {
            assert_eq!(count(&client, 1).await, Ok(1), "{addresses:?}, {pool:?}, {at}");
            let called = soon(client.ping(&Context::background(), req("", 7))).await;
            assert_eq!(called.unwrap().seq, Some(7), "{addresses:?}, {pool:?}, {at}");
        }
    });
    futures_util::future::join_all(tries).await;
}

/// Connects to a server in memory after the milliseconds that an address names, or never.
#[derive(Debug)]
struct Slow(MemoryConnector);

impl Connector for Slow {
    fn connect<'a>(
        &'a self,
        address: &'a str,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = io::Result<Io>> + Send + 'a>> {
        Box::pin(async move {
            match address.split(':').next().and_then(|millis| millis.parse().ok()) {
                Some(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
                None => std::future::pending().await,
            }
            self.0.connect().await
        })
    }
}

/// One of the dials that take long never ends: the other one is waited for, whichever was begun first.
#[tokio::test(start_paused = true)]
async fn dial_that_takes_long_is_not_left_for_one_that_hangs() {
    let rows: [&[&str]; 4] = [
        &["700:1", "hangs:1"],
        &["hangs:1", "700:1"],
        &["hangs:1", "700:1", "hangs:2"],
        &["700:1", "hangs:1", "hangs:2"],
    ];
    let pools = [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short];
    for (addresses, pool) in rows.into_iter().flat_map(|row| pools.map(|pool| (row, pool))) {
        let (listener, connector) = MemoryListener::new();
        let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
        tokio::spawn(server.listen(listener).unwrap().serve());
        for is_stream in [true, false] {
            // The first stream or call goes to the first address.
            let client = builder("unused:1").addresses(StaticAddresses::new(addresses.iter().copied()));
            let client = client.balance(RoundRobin::default()).connector(Slow(connector.clone())).pool(pool);
            let client = EchoClient::new(client.connect_timeout(NEVER).build().unwrap());
            let made = match is_stream {
                true => count(&client, 1).await,
                false => soon(client.ping(&Context::background(), req("", 7)))
                    .await
                    .map(|_| 1)
                    .map_err(|_| "".into()),
            };
            assert_eq!(made, Ok(1), "{addresses:?}, {pool:?}, a stream: {is_stream}");
        }
    }
}

/// A panic of the user's connector at one address leaves the others.
#[tokio::test]
async fn dial_tries_the_next_address_if_the_connector_panics() {
    let peer = Peer::start(Handlers::default()).await;
    let source = kitex::client::StaticAddresses::new(["bad:1".to_owned(), peer.address.clone()]);
    let client =
        builder("unused:1").addresses(source).connector(Panics).pool(PoolKind::Short).build().unwrap();
    for _ in 0..4 {
        assert_eq!(count(&EchoClient::new(client.clone()), 1).await, Ok(1));
    }
    let all = kitex::client::StaticAddresses::new(["bad:1", "bad:2"].map(str::to_owned));
    let client = builder("unused:1").addresses(all).connector(Panics).pool(PoolKind::Short).build().unwrap();
    let error = count(&EchoClient::new(client), 1).await.unwrap_err();
    assert!(error.contains("panic: [happened in the connector] bad"), "{error}");
}

#[derive(Debug)]
struct Panics;

impl Connector for Panics {
    fn connect<'a>(
        &'a self,
        address: &'a str,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = io::Result<Io>> + Send + 'a>> {
        assert!(!address.starts_with("bad"), "{}", address.split(':').next().unwrap_or_default());
        SystemConnector.connect(address, timeout)
    }
}

#[tokio::test]
async fn backoff_counts_connections_that_end_unused_as_failed_dials() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Like a server that has reached `max_connections`.
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for pool in [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short] {
        let client = EchoClient::new(builder(&address).pool(pool).build().unwrap());
        for at in 0..200 {
            assert!(count(&client, 1).await.is_err(), "{at}");
        }
        let stats = client.as_ref().pool_stats();
        assert!(stats.dials < 100, "{pool:?}: they are not dialed again at once: {stats:?}");
        assert!(stats.failed_dials > 0, "{pool:?}: {stats:?}");
    }
}

/// A connection may be lost before its transport has begun: HTTP/2 writes before the first stream is opened.
#[tokio::test]
async fn backoff_counts_connections_that_are_lost_at_once_as_failed_dials() {
    for pool in [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short] {
        let client = EchoClient::new(builder("lost:1").connector(Lost).pool(pool).build().unwrap());
        for at in 0..200 {
            let opened = match soon(client.bidi(&Context::background())).await {
                Ok(mut bidi) => soon(bidi.recv()).await.map(drop),
                Err(error) => Err(error),
            };
            match &*ended(&opened) {
                "12006 client" => {}
                // In the backoff.
                ended => assert!(ended.starts_with("network"), "{pool:?}, {at}: {ended}"),
            }
        }
        let stats = client.as_ref().pool_stats();
        assert!(stats.dials < 100, "{pool:?}: they are not dialed again at once: {stats:?}");
        assert!(stats.failed_dials > 0, "{pool:?}: {stats:?}");
    }
}

/// Its connections are lost as soon as they are made.
#[derive(Debug)]
struct Lost;

impl Connector for Lost {
    fn connect<'a>(
        &'a self,
        _: &'a str,
        _: Duration,
    ) -> Pin<Box<dyn Future<Output = io::Result<Io>> + Send + 'a>> {
        Box::pin(async { Ok(Io::pair(1024).0) })
    }
}
