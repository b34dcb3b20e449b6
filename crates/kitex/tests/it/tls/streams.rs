//! Streams over TLS end as without it: cancels, graceful shutdown, large messages, backpressure.

use std::time::Duration;

use kitex::client::PoolKind;
use kitex::tls::{ClientTls, ServerTls};
use kitex::{Client, Context};

use super::certificates::Authority;
use super::{HOST, KINDS, Kind, TRANSPORTS, call, client, serve};
use crate::fixture::chain::{idle, relay};
use crate::fixture::{EchoClient, Handlers, LONG, Peer, ended, large, reports, req, soon};

#[tokio::test]
async fn cancel_over_tls_ends_the_whole_chain_with_its_path() {
    let authority = Authority::new("trusted");
    let trusting = ClientTls::builder(authority.roots()).build().unwrap();
    let hops = [
        "12007 client ServiceA",
        "12007 client ServiceA -> ServiceB",
        "12007 server ServiceA -> ServiceB -> ServiceC",
    ];
    for transport in TRANSPORTS {
        let (reporter, mut reported) = reports();
        let mut peers: Vec<Peer> = Vec::new();
        for name in ["ServiceD", "ServiceC", "ServiceB"] {
            let handlers = match peers.last() {
                None => idle(reporter.clone()),
                Some(next) => {
                    let next = Client::builder("next").address(&*next.address).transport(transport);
                    let next =
                        EchoClient::new(next.tls(trusting.clone()).connect_timeout(LONG).build().unwrap());
                    relay(next, reporter.clone())
                }
            };
            let tls = ServerTls::builder(authority.identity(&[HOST])).build().unwrap();
            peers.push(Peer::named(name, handlers, |server| server.tls(tls)).await);
        }
        let client = client(peers.last().unwrap(), transport, &trusting);
        let (ctx, canceler) = Context::background().with_cancel();
        let mut down = soon(client.down(&ctx, req("", 0))).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some(), "the chain stands");
        canceler.cancel();
        assert_eq!(ended(&soon(down.recv()).await), "12007 client", "{transport:?}");
        let mut parts = [reported.next().await, reported.next().await, reported.next().await];
        parts.sort();
        let parts: Vec<_> = parts.iter().map(|(name, end)| (&**name, &**end)).collect();
        let expected = ["ServiceB", "ServiceC", "ServiceD"].into_iter().zip(hops);
        assert_eq!(parts, expected.collect::<Vec<_>>(), "{transport:?}");
    }
}

#[tokio::test]
async fn graceful_shutdown_over_tls_lets_streams_end_and_refuses_new_ones() {
    let authority = Authority::new("trusted");
    for transport in TRANSPORTS {
        let (peer, tls) = serve(&authority, Handlers::default()).await;
        let client = client(&peer, transport, &tls);
        let mut bidi = soon(client.bidi(&Context::background())).await.unwrap();
        bidi.send(&req("", 0)).await.unwrap();
        soon(bidi.recv()).await.unwrap().unwrap();
        let stopped = peer.stop();
        soon(async {
            loop {
                match &*ended(&call(&client, Kind::Stream).await) {
                    "ok" | "grpc 14" => tokio::task::yield_now().await,
                    // The last: it queued at a listener that was closed.
                    "12903 client" | "connect" | "12006 client" => return,
                    found => panic!("{transport:?}: {found}"),
                }
            }
        })
        .await;
        for seq in 0..100 {
            bidi.send(&req("", seq)).await.unwrap();
            assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
        }
        bidi.close_send();
        assert_eq!(soon(bidi.recv()).await.unwrap(), None);
        soon(stopped).await.unwrap();
    }
}

#[tokio::test]
async fn exit_wait_over_tls_cancels_streams_that_still_run() {
    let authority = Authority::new("trusted");
    for transport in TRANSPORTS {
        let (reporter, mut reported) = reports();
        let tls = ServerTls::builder(authority.identity(&[HOST])).build().unwrap();
        let peer = Peer::with(idle(reporter), |server| server.tls(tls).exit_wait(Duration::from_millis(50)));
        let peer = peer.await;
        let tls = ClientTls::builder(authority.roots()).build().unwrap();
        let mut down =
            soon(client(&peer, transport, &tls).down(&Context::background(), req("", 0))).await.unwrap();
        soon(down.recv()).await.unwrap().unwrap();
        peer.shut_down().await;
        assert_eq!(ended(&soon(down.recv()).await), "12013 client ServiceB", "{transport:?}");
        reported.next().await;
    }
}

/// More than the buffers of both ends and of the system hold: writes are partial, and reads end inside of records.
#[tokio::test]
async fn large_messages_over_tls_arrive_whole_both_ways_at_once() {
    let authority = Authority::new("trusted");
    let (peer, tls) = serve(&authority, Handlers::default()).await;
    for transport in TRANSPORTS {
        let client = client(&peer, transport, &tls);
        let (sender, mut receiver) = soon(client.bidi(&Context::background())).await.unwrap().split();
        let sizes = [1, 100, 16_383, 16_384, 16_385, 100_000, 3_000_000, 0];
        let sending = tokio::spawn(async move {
            for len in sizes.into_iter().cycle().take(40) {
                sender.send(&large(len)).await.unwrap();
            }
            sender
        });
        for len in sizes.into_iter().cycle().take(40) {
            let payload = soon(receiver.recv()).await.unwrap().unwrap().payload.unwrap();
            assert!(payload.len() == len && payload.iter().all(|byte| *byte == 7), "{transport:?}, {len}");
        }
        soon(sending).await.unwrap();
    }
}

/// A reader that stops pauses its connection, and nothing is lost when it continues.
#[tokio::test]
async fn backpressure_over_tls_waits_for_the_reader() {
    let authority = Authority::new("trusted");
    let (peer, tls) = serve(
        &authority,
        Handlers::default().down(|_, req, stream| async move {
            for seq in 0..req.seq.unwrap_or_default() {
                let message = crate::fixture::Resp {
                    payload: Some(vec![7; 1024].into()),
                    ..crate::fixture::resp("", seq)
                };
                stream.send(&message).await?;
            }
            Ok(())
        }),
    )
    .await;
    for transport in TRANSPORTS {
        let client = client(&peer, transport, &tls);
        let mut down = soon(client.down(&Context::background(), req("", 20_000))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for seq in 0..20_000 {
            assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(seq), "{transport:?}");
        }
        assert_eq!(soon(down.recv()).await.unwrap(), None);
    }
}

/// Connections for ping-pong calls are kept, and so are those of long pools.
#[tokio::test]
async fn pools_reuse_connections_over_tls() {
    let authority = Authority::new("trusted");
    let (peer, tls) = serve(&authority, Handlers::default()).await;
    for transport in TRANSPORTS {
        for pool in [PoolKind::Mux(1), PoolKind::Long { max_idle: 4 }] {
            let raw = peer.raw_client(|client| client.transport(transport).tls(tls.clone()).pool(pool));
            let echo = EchoClient::new(raw.clone());
            for kind in KINDS {
                call(&echo, kind).await.unwrap();
                let dials = raw.pool_stats().dials;
                for _ in 0..10 {
                    call(&echo, kind).await.unwrap();
                }
                assert_eq!(raw.pool_stats().dials, dials, "{transport:?}, {pool:?}, {kind:?}");
            }
        }
    }
}

/// The client's last handshake message, its request and its end may arrive with one read.
#[tokio::test]
async fn oneway_call_over_tls_is_served_after_its_caller_has_gone() {
    let authority = Authority::new("trusted");
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().note(move |_, req| {
        reporter.send(req.seq);
        async { Ok(()) }
    });
    let (peer, tls) = serve(&authority, handlers).await;
    for transport in TRANSPORTS {
        for seq in 0..20 {
            let client =
                peer.client_with(|client| client.transport(transport).tls(tls.clone()).pool(PoolKind::Short));
            soon(client.note(&Context::background(), req("", seq))).await.unwrap();
            drop(client);
            assert_eq!(reported.next().await, Some(seq), "{transport:?}");
        }
    }
}

/// Frames of our own are put between those of h2, also when h2's are encrypted and wait.
#[tokio::test]
async fn cancels_over_tls_do_not_damage_a_saturated_connection() {
    let authority = Authority::new("trusted");
    let (peer, tls) = serve(&authority, Handlers::default()).await;
    for transport in TRANSPORTS {
        let client = client(&peer, transport, &tls);
        let (sender, mut receiver) = soon(client.bidi(&Context::background())).await.unwrap().split();
        let sending = tokio::spawn(async move {
            for _ in 0..60 {
                sender.send(&large(200_000)).await.unwrap();
            }
            sender
        });
        let canceling = tokio::spawn(async move {
            for _ in 0..100 {
                let (ctx, canceler) = Context::background().with_cancel();
                let stream = soon(client.bidi(&ctx)).await.unwrap();
                let _ = tokio::time::timeout(Duration::from_millis(1), stream.send(&large(100_000))).await;
                canceler.cancel();
            }
        });
        for at in 0..60 {
            let payload = soon(receiver.recv()).await.unwrap().unwrap().payload.unwrap();
            assert!(payload.len() == 200_000 && payload.iter().all(|byte| *byte == 7), "{transport:?}, {at}");
        }
        soon(canceling).await.unwrap();
        drop(soon(sending).await.unwrap());
    }
}
