//! A pool uses the connections that are open, and an opening fails only if there is none.

use std::time::Duration;

use kitex::client::PoolKind;
use kitex::{Context, Server};
use tokio::net::TcpListener;

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, builder, req, soon, until};

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
async fn streams_use_the_connection_that_is_open_while_no_other_can_be_had() {
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
    // The listener is gone, its connections are not.
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
async fn streams_use_the_connection_that_is_open_while_a_dial_hangs() {
    let server = Server::builder("ServiceB")
        .service(EchoServer::new(Handlers::default()))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let good = server.local_addr().to_string();
    tokio::spawn(server.serve());
    let hole = crate::fixture::Hole::new().await;
    // The second dial begins with the address that answers nobody.
    let client =
        builder(&good).addresses(kitex::client::StaticAddresses::new([good.clone(), hole.address.clone()]));
    let client = client.pool(PoolKind::Mux(2)).connect_timeout(Duration::from_secs(3600)).build().unwrap();
    let client = EchoClient::new(client);
    assert_eq!(count(&client, 1).await, Ok(1));
    for at in 0..20 {
        assert_eq!(count(&client, 1).await, Ok(1), "{at}");
    }
}

#[tokio::test]
async fn connections_that_end_before_they_carried_anything_are_failed_dials() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // As a server does that has too many connections.
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
