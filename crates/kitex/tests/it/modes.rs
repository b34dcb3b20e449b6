//! The five streaming modes, and oneway calls.

use std::time::Duration;

use kitex::client::{CallProtocol, ClientBuilder, PoolKind, Transport};
use kitex::server::OnCancel;
use kitex::{Context, Error};
use tokio::sync::watch;

use crate::fixture::echo::{EchoError, EchoPingError};
use crate::fixture::{EchoClient, Handlers, Peer, ended, reports, req, soon};

const POOLS: [PoolKind; 3] = [PoolKind::Mux(2), PoolKind::long(), PoolKind::Short];

type Way = fn(ClientBuilder) -> ClientBuilder;

/// The ways in which a client can connect to the one port of a server.
const WAYS: [(&str, Way); 3] = [
    ("TTHeader", |client| client),
    ("framed", |client| client.call_protocol(CallProtocol::Framed)),
    ("gRPC", |client| client.transport(Transport::Grpc)),
];

#[tokio::test]
async fn every_streaming_mode_carries_messages_both_ways() {
    let peer = Peer::start(Handlers::default()).await;
    for pool in POOLS {
        for (_, way) in WAYS {
            let client = peer.client_with(|client| way(client.pool(pool)));
            for _ in 0..3 {
                check(&client).await;
            }
        }
    }
}

async fn check(client: &EchoClient) {
    let ctx = Context::background();
    let pong = soon(client.ping(&ctx, req("ping", 1))).await.unwrap();
    assert_eq!((pong.msg.as_deref(), pong.seq), (Some("ping"), Some(1)));
    let answer = soon(client.unary(&ctx, req("unary", 2))).await.unwrap();
    assert_eq!((answer.msg.as_deref(), answer.seq), (Some("unary"), Some(2)));

    let mut up = client.up(&ctx).await.unwrap();
    for seq in 0..5 {
        up.send(&req("up", seq)).await.unwrap();
    }
    assert_eq!(soon(up.close_and_recv()).await.unwrap().seq, Some(5));

    let mut down = client.down(&ctx, req("down", 5)).await.unwrap();
    for seq in 0..5 {
        assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    assert_eq!(soon(down.recv()).await.unwrap(), None, "the end stays the end");

    let mut bidi = client.bidi(&ctx).await.unwrap();
    for seq in 0..5 {
        bidi.send(&req("bidi", seq)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn streams_without_a_message_end_cleanly() {
    let peer = Peer::start(Handlers::default()).await;
    for (name, way) in WAYS {
        let (client, ctx) = (peer.client_with(way), Context::background());
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        assert_eq!(soon(down.recv()).await.unwrap(), None);
        let mut up = client.up(&ctx).await.unwrap();
        assert_eq!(soon(up.close_and_recv()).await.unwrap().seq, Some(0));
        let mut bidi = client.bidi(&ctx).await.unwrap();
        bidi.close_send();
        assert_eq!(soon(bidi.recv()).await.unwrap(), None);
        let late = ended(&bidi.send(&req("late", 0)).await);
        assert_eq!(late, "12005 client", "{name}: nothing is sent after close_send");
    }
}

#[tokio::test]
async fn thrown_exception_is_the_methods_own_error() {
    let throws = |_, _| async {
        let error = EchoError { code: Some(7), reason: Some("thrown".into()) };
        Err(EchoPingError::from(error))
    };
    let peer = Peer::start(Handlers::default().ping(throws)).await;
    for (name, way) in WAYS {
        let client = peer.client_with(way);
        match soon(client.ping(&Context::background(), req("", 0))).await {
            Err(EchoPingError::E(EchoError { code: Some(7), reason })) => {
                assert_eq!(reason.as_deref(), Some("thrown"));
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn oneway_call_returns_before_its_handler() {
    let (reporter, mut reported) = reports();
    let (go, gone) = watch::channel(false);
    let note = move |_, req: crate::fixture::Req| {
        let (reporter, mut gone) = (reporter.clone(), gone.clone());
        async move {
            gone.wait_for(|gone| *gone).await.unwrap();
            reporter.send(req.seq);
            Ok(())
        }
    };
    let peer = Peer::start(Handlers::default().note(note)).await;
    for pool in POOLS {
        for (name, way) in WAYS {
            go.send_replace(false);
            let client = peer.client_with(|client| way(client.pool(pool)));
            soon(client.note(&Context::background(), req("", 9))).await.unwrap();
            assert!(reported.waiting().is_empty(), "{name} {pool:?}: the handler waits");
            go.send_replace(true);
            assert_eq!(reported.next().await, Some(9), "{name} {pool:?}");
        }
    }
}

#[tokio::test]
async fn oneway_call_is_served_after_its_caller_has_gone() {
    let policies = [OnCancel::Drop, OnCancel::NotifyThenDrop(Duration::ZERO), OnCancel::Notify];
    for policy in policies {
        let (reporter, mut reported) = reports();
        let (go, gone) = watch::channel(false);
        let note = move |ctx: Context, _| {
            let (reporter, mut gone) = (reporter.clone(), gone.clone());
            async move {
                reporter.send("begun");
                gone.wait_for(|gone| *gone).await.unwrap();
                // Long enough to notice the end of a connection, if there were one.
                tokio::time::sleep(Duration::from_millis(50)).await;
                reporter.send(if ctx.reason().is_some() { "canceled" } else { "done" });
                Ok(())
            }
        };
        let peer = Peer::with(Handlers::default().note(note), |server| server.on_cancel(policy)).await;
        // A short connection ends with its call.
        let client = peer.client_with(|client| client.pool(PoolKind::Short));
        soon(client.note(&Context::background(), req("", 9))).await.unwrap();
        drop(client);
        assert_eq!(reported.next().await, "begun");
        go.send_replace(true);
        assert_eq!(reported.next().await, "done", "{policy:?}");
    }
}

#[tokio::test]
async fn oneway_call_without_a_connection_fails() {
    let refusing = crate::fixture::Refusing::new();
    let client = EchoClient::new(crate::fixture::builder(&refusing.address).build().unwrap());
    let sent = soon(client.note(&Context::background(), req("", 9))).await;
    assert!(matches!(sent, Err(Error::Connect { .. })), "{sent:?}");
}
