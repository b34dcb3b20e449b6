//! The five ways in which messages flow, and calls that nobody answers.

use std::time::Duration;

use kitex::client::{CallProtocol, ClientBuilder, PoolKind, Transport};
use kitex::server::OnCancel;
use kitex::{Context, Error};
use tokio::sync::watch;

use crate::fixture::echo::{EchoError, EchoPingError};
use crate::fixture::{EchoClient, Handlers, Peer, ended, reports, req, soon};

const POOLS: [PoolKind; 3] = [PoolKind::Mux(2), PoolKind::long(), PoolKind::Short];

type Way = fn(ClientBuilder) -> ClientBuilder;

/// How a client may reach the one port of a server.
const WAYS: [(&str, Way); 3] = [
    ("TTHeader", |client| client),
    ("framed", |client| client.call_protocol(CallProtocol::Framed)),
    ("gRPC", |client| client.transport(Transport::Grpc)),
];

#[tokio::test]
async fn each_mode_brings_its_messages_there_and_back() {
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
async fn streams_without_a_message_end_well_too() {
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
        let expected = if name == "gRPC" { "grpc 13" } else { "12005 client" };
        assert_eq!(late, expected, "{name}: nothing is sent after close_send");
    }
}

#[tokio::test]
async fn a_thrown_exception_is_the_methods_own_error() {
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
async fn a_oneway_call_returns_before_its_handler() {
    let (tell, mut told) = reports();
    let (go, gone) = watch::channel(false);
    let note = move |_, req: crate::fixture::Req| {
        let (tell, mut gone) = (tell.clone(), gone.clone());
        async move {
            gone.wait_for(|gone| *gone).await.unwrap();
            tell.tell(req.seq);
            Ok(())
        }
    };
    let peer = Peer::start(Handlers::default().note(note)).await;
    for pool in POOLS {
        for (name, way) in WAYS {
            go.send_replace(false);
            let client = peer.client_with(|client| way(client.pool(pool)));
            soon(client.note(&Context::background(), req("", 9))).await.unwrap();
            assert!(told.waiting().is_empty(), "{name} {pool:?}: the handler waits");
            go.send_replace(true);
            assert_eq!(told.next().await, Some(9), "{name} {pool:?}");
        }
    }
}

#[tokio::test]
async fn a_oneway_call_is_served_though_its_caller_has_gone() {
    let policies = [OnCancel::Drop, OnCancel::NotifyThenDrop(Duration::ZERO), OnCancel::Notify];
    for policy in policies {
        let (tell, mut told) = reports();
        let (go, gone) = watch::channel(false);
        let note = move |ctx: Context, _| {
            let (tell, mut gone) = (tell.clone(), gone.clone());
            async move {
                tell.tell("begun");
                gone.wait_for(|gone| *gone).await.unwrap();
                // As long as a connection's end takes to be seen, if it were looked for.
                tokio::time::sleep(Duration::from_millis(50)).await;
                tell.tell(if ctx.reason().is_some() { "canceled" } else { "done" });
                Ok(())
            }
        };
        let peer = Peer::with(Handlers::default().note(note), |server| server.on_cancel(policy)).await;
        // A short connection ends with its call.
        let client = peer.client_with(|client| client.pool(PoolKind::Short));
        soon(client.note(&Context::background(), req("", 9))).await.unwrap();
        drop(client);
        assert_eq!(told.next().await, "begun");
        go.send_replace(true);
        assert_eq!(told.next().await, "done", "{policy:?}");
    }
}

#[tokio::test]
async fn a_oneway_call_that_reaches_nobody_says_so() {
    let nobody = crate::fixture::Nobody::new();
    let client = EchoClient::new(crate::fixture::builder(&nobody.address).build().unwrap());
    let sent = soon(client.note(&Context::background(), req("", 9))).await;
    assert!(matches!(sent, Err(Error::Connect { .. })), "{sent:?}");
}
