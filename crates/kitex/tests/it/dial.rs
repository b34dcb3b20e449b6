//! Dials: shared by all waiting callers, paused by backoff, and failing for each caller soon.

use std::time::Duration;

use futures_util::FutureExt;
use kitex::client::PoolKind;
use kitex::{Client, Context, Server};

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, LONG, Peer, Refusing, Unreachable, builder, ended, req, soon};

const POOLS: [PoolKind; 3] = [PoolKind::Mux(2), PoolKind::long(), PoolKind::Short];

/// Makes a thousand concurrent calls and streams, and returns how they ended.
async fn storm(client: &Client) -> Vec<String> {
    let callers = (0..1000).map(|caller| {
        let client = EchoClient::new(client.clone());
        tokio::spawn(async move {
            let ctx = Context::background();
            match caller % 2 {
                0 => ended(&client.bidi(&ctx).await),
                _ => ended(&client.unary(&ctx, req("", 0)).await),
            }
        })
    });
    let mut ends = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        ends.push(soon(caller).await.unwrap());
    }
    ends
}

#[tokio::test]
async fn dial_that_is_refused_fails_a_thousand_callers_at_once() {
    for pool in POOLS {
        let refusing = Refusing::new();
        let client = builder(&refusing.address).pool(pool).build().unwrap();
        assert!(storm(&client).await.iter().all(|end| end == "connect"), "{pool:?}");
        let stats = client.pool_stats();
        assert_eq!(stats.dials, stats.failed_dials, "{pool:?}");
        assert!(stats.dials < 500, "{pool:?}: {} dials", stats.dials);
    }
}

#[tokio::test]
async fn dial_that_times_out_fails_a_thousand_callers_at_once() {
    for pool in POOLS {
        let unreachable = Unreachable::new().await;
        let client = builder(&unreachable.address).pool(pool).connect_timeout(Duration::from_millis(300));
        let client = client.build().unwrap();
        assert!(storm(&client).await.iter().all(|end| end == "connect"), "{pool:?}");
        let dials = client.pool_stats().dials;
        // Sixteen dials at once; the other callers share their results. One after the other, it would take minutes.
        assert!(dials <= 100, "{pool:?}: {dials} dials");
    }
}

#[tokio::test]
async fn dial_is_shared_by_all_callers_of_a_connection() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.raw_client(|client| client.pool(PoolKind::Mux(1)));
    let callers = (0..100).map(|seq| {
        let client = EchoClient::new(client.clone());
        tokio::spawn(async move {
            let mut bidi = client.bidi(&Context::background()).await?;
            bidi.send(&req("", seq)).await?;
            bidi.recv().await
        })
    });
    for (seq, caller) in (0..).zip(callers.collect::<Vec<_>>()) {
        assert_eq!(soon(caller).await.unwrap().unwrap().unwrap().seq, Some(seq));
    }
    assert_eq!(client.pool_stats().dials, 1);
}

/// A dial does not belong to a caller: it continues for the others if one gives up.
#[tokio::test]
async fn dial_goes_on_if_its_caller_gives_up() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.raw_client(|client| client.pool(PoolKind::Mux(1)));
    let echo = EchoClient::new(client.clone());
    let ctx = Context::background();
    {
        let mut opening = std::pin::pin!(echo.bidi(&ctx));
        assert!((&mut opening).now_or_never().is_none(), "it dials");
    }
    let mut bidi = soon(echo.bidi(&ctx)).await.unwrap();
    bidi.send(&req("", 1)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(1));
    assert_eq!(client.pool_stats().dials, 1);
}

#[tokio::test]
async fn backoff_pauses_dials_to_an_address_that_failed() {
    for pool in POOLS {
        let refusing = Refusing::new();
        let client = builder(&refusing.address).pool(pool).build().unwrap();
        let (echo, ctx) = (EchoClient::new(client.clone()), Context::background());
        let mut first = String::new();
        for _ in 0..300 {
            let error = soon(echo.bidi(&ctx)).await.unwrap_err().to_string();
            assert!(error.starts_with("cannot connect to 127.0.0.1:"), "{error}");
            assert!(first.is_empty() || first == error, "the same words while it is left alone");
            first = error;
        }
        let dials = client.pool_stats().dials;
        assert!(dials < 150, "{pool:?}: {dials} dials for 300 calls");

        let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
        let _peer = Peer::bind(server, &refusing.address).await;
        soon(async {
            while echo.bidi(&ctx).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        soon(echo.unary(&ctx, req("", 0))).await.unwrap();
        assert!(client.pool_stats().failed_dials < client.pool_stats().dials);
    }
}

#[tokio::test]
async fn dial_resolves_names() {
    let peer = Peer::start(Handlers::default()).await;
    let port = peer.address.rsplit_once(':').unwrap().1;
    // A resolver may need long on a busy machine.
    let client = builder(&format!("localhost:{port}")).connect_timeout(LONG);
    let client = EchoClient::new(client.build().unwrap());
    soon(client.unary(&Context::background(), req("", 0))).await.unwrap();
    let nowhere = EchoClient::new(builder("no-such-host.invalid:1").build().unwrap());
    let failed = ended(&soon(nowhere.unary(&Context::background(), req("", 0))).await);
    assert_eq!(failed, "connect");
}

#[tokio::test]
async fn address_source_without_an_address_is_an_error() {
    let none =
        Client::builder("ServiceB").addresses(kitex::client::StaticAddresses::new(Vec::<String>::new()));
    let client = EchoClient::new(none.build().unwrap());
    let error = soon(client.bidi(&Context::background())).await.unwrap_err();
    assert!(error.to_string().contains("the source of addresses is empty"), "{error}");
}
