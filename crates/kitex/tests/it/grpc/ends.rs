//! Cancels, deadlines, timeouts, cascades and shutdown.

use std::time::Duration;

use kitex::client::Transport;
use kitex::server::OnCancel;
use kitex::{Client, Context, Error, Kind, RecvTimeout, Result};
use tokio::sync::watch;

use super::{CANCELED_BY_A, client, text};
use crate::fixture::{EchoClient, Handlers, Peer, Proxy, Reports, Resp, builder, reports, req, resp, soon};

/// How a client ends its stream.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Cancel,
    Cause,
    Drop,
    DropSender,
    Deadline,
    RecvTimeout,
}

#[tokio::test]
async fn a_handler_learns_of_the_end_though_nobody_receives() {
    let rows = [
        (Ends::Cancel, "rpc error: code = 1 desc = context canceled", Kind::Canceled),
        (Ends::Cause, "rpc error: code = 1 desc = context canceled", Kind::Canceled),
        (Ends::Drop, "", Kind::Canceled),
        (Ends::DropSender, "rpc error: code = 1 desc = context canceled", Kind::Canceled),
        (Ends::Deadline, "rpc error: code = 4 desc = context deadline exceeded", Kind::Timeout),
        (
            Ends::RecvTimeout,
            "rpc error: code = 17 desc = stream Recv timeout, timeout config={Timeout:200ms DisableCancelRemote:false}",
            Kind::Timeout,
        ),
    ];
    for (ends, at_client, kind) in rows {
        let (tell, mut told) = reports();
        let handlers = Handlers::default().bidi(move |ctx: Context, stream| {
            let tell = tell.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                tell.tell(Error::from(ctx.canceled().await).to_string());
                tell.tell(text(stream.send(&resp("late", 0)).await));
                Ok(())
            }
        });
        let peer = Peer::with(handlers, |server| server.on_cancel(OnCancel::Notify)).await;
        let ended = end_stream(&peer, ends, &mut told).await;
        let sent = told.next().await;
        let is_deadline = sent == "rpc error: code = 4 desc = context deadline exceeded";
        assert!(sent == CANCELED_BY_A || is_deadline && matches!(ends, Ends::Deadline), "{ends:?}: {sent}");
        if let Some(ended) = ended {
            let error = ended.unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (at_client, Some(kind)), "{ends:?}");
            assert_eq!(error.is_canceled(), kind == Kind::Canceled);
        }
    }
}

/// Ends a stream whose handler waits. Returns what the client receives, if it still can.
async fn end_stream(peer: &Peer, ends: Ends, told: &mut Reports<String>) -> Option<Result<Option<Resp>>> {
    let mut client = client(peer);
    if matches!(ends, Ends::RecvTimeout) {
        client = EchoClient::new(peer.raw_client(|client| {
            client.transport(Transport::Grpc).recv_timeout(RecvTimeout::new(Duration::from_millis(200)))
        }));
    }
    let (mut ctx, canceler) = Context::background().with_cancel();
    if matches!(ends, Ends::Deadline) {
        ctx = ctx.with_timeout(Duration::from_millis(500));
    }
    let mut bidi = client.bidi(&ctx).await.unwrap();
    assert!(soon(bidi.recv()).await.unwrap().is_some());
    match ends {
        Ends::Cancel => {
            canceler.cancel();
            // The handler knows before anybody receives.
            assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
            Some(soon(bidi.recv()).await)
        }
        Ends::Cause => {
            canceler.cancel_with_cause("user pressed stop");
            assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
            Some(soon(bidi.recv()).await)
        }
        Ends::Drop => {
            drop(bidi);
            assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
            None
        }
        Ends::DropSender => {
            let (sender, mut receiver) = bidi.split();
            drop(sender);
            assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
            Some(soon(receiver.recv()).await)
        }
        Ends::Deadline => {
            // The handler has a deadline of its own: which comes first is open.
            let seen = told.next().await;
            assert!([CANCELED_BY_A, "context deadline exceeded"].contains(&&*seen), "{seen}");
            Some(soon(bidi.recv()).await)
        }
        Ends::RecvTimeout => {
            let ended = soon(bidi.recv()).await;
            assert_eq!(told.next().await, CANCELED_BY_A, "{ends:?}");
            Some(ended)
        }
    }
}

#[tokio::test]
async fn a_recv_timeout_that_does_not_cancel_loses_no_message() {
    let (go, gone) = watch::channel(false);
    let handlers = Handlers::default().down(move |_, _, stream| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|gone| *gone).await.unwrap();
            stream.send(&resp("late", 7)).await
        }
    });
    let peer = Peer::start(handlers).await;
    let timeout = RecvTimeout { timeout: Duration::from_millis(50), disable_cancel_remote: true };
    let client = peer.client_with(|client| client.transport(Transport::Grpc).recv_timeout(timeout));
    let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
    for _ in 0..3 {
        let error = soon(down.recv()).await.unwrap_err();
        assert!(error.is_retryable() && error.grpc_status().unwrap().code() == 17, "{error}");
    }
    go.send_replace(true);
    let message = loop {
        match soon(down.recv()).await {
            Err(error) if error.is_retryable() => {}
            received => break received.unwrap().unwrap(),
        }
    };
    assert_eq!(message.seq, Some(7));
}

#[tokio::test]
async fn a_context_that_is_over_opens_nothing() {
    let peer = Peer::start(Handlers::default()).await;
    let client = client(&peer);
    let (ctx, canceler) = Context::background().with_cancel();
    canceler.cancel();
    let rows = [(ctx, Kind::Canceled), (Context::background().with_timeout(Duration::ZERO), Kind::Timeout)];
    for (ctx, kind) in rows {
        let error = soon(client.bidi(&ctx)).await.map(drop).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), ("rpc timeout", Some(kind)));
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_says_so_in_the_words_of_kitex() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().unary(move |ctx: Context, _| {
        let tell = tell.clone();
        async move {
            tell.tell("begun".to_owned());
            tell.tell(Error::from(ctx.canceled().await).to_string());
            Ok(resp("", 0))
        }
    });
    let peer = Peer::with(handlers, |server| server.on_cancel(OnCancel::Notify)).await;
    let client = client(&peer);
    let (ctx, canceler) = Context::background().with_cancel();
    let calling = tokio::spawn({
        let client = client.clone();
        async move { client.unary(&ctx, req("", 0)).await }
    });
    assert_eq!(told.next().await, "begun");
    canceler.cancel();
    let error = soon(calling).await.unwrap().unwrap_err();
    let expected = format!(
        "rpc timeout: timeout=0s, to=ServiceB, method=Unary, location=kitex.rpcTimeoutMW, remote={}: context \
         canceled by business",
        peer.address
    );
    assert_eq!((error.to_string(), error.is_canceled()), (expected, true));
    assert_eq!(told.next().await, CANCELED_BY_A);
    let ctx = Context::background().with_timeout(Duration::from_millis(300));
    let error = soon(client.unary(&ctx, req("", 0))).await.unwrap_err();
    assert!(matches!(&error, Error::Timeout(text) if text.contains("to=ServiceB, method=Unary")), "{error}");
}

/// What B says of its stream to C, and what C is told, when A cancels, for the two links.
#[tokio::test]
async fn a_cancel_crosses_transports_in_the_words_of_kitex() {
    let (grpc, tt) = (Transport::Grpc, Transport::TtHeader);
    let by_b = CANCELED_BY_A.replace("ServiceA", "ServiceB");
    let rows = [
        (grpc, grpc, CANCELED_BY_A.to_owned(), by_b.clone()),
        (
            grpc,
            tt,
            format!("[ttstream error, code=12011] [client-side stream] {CANCELED_BY_A}"),
            format!(
                "[ttstream error, code=12011] [server-side stream] [canceled path: non-ttstream path -> ServiceB] \
                 {CANCELED_BY_A}"
            ),
        ),
        (
            tt,
            grpc,
            "rpc error: code = 13 desc = Unexpected error from context packet: [ttstream error, code=12007] \
             [server-side stream] [canceled path: ServiceA] user code invoking stream RPC with context processed \
             by context.WithCancel or context.WithTimeout, then invoking cancel() actively"
                .to_owned(),
            by_b,
        ),
    ];
    for (first, second, at_b, at_c) in rows {
        let (tell, mut told) = reports();
        let tell_c = tell.clone();
        let c = Handlers::default().down(move |ctx: Context, _, stream| {
            let tell = tell_c.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                tell.tell(("C", Error::from(ctx.canceled().await).to_string()));
                Ok(())
            }
        });
        let c = Peer::named("ServiceC", c, |server| server.on_cancel(OnCancel::Notify)).await;
        let next = Client::builder("ServiceC").address(&c.address).transport(second).build().unwrap();
        let next = EchoClient::new(next);
        let b = Handlers::default().down(move |ctx: Context, req, stream| {
            let (tell, next) = (tell.clone(), next.clone());
            async move {
                let mut from = next.down(&ctx, req).await?;
                loop {
                    match from.recv().await {
                        Ok(Some(message)) => stream.send(&message).await?,
                        ended => {
                            tell.tell(("B", text(ended)));
                            return Ok(());
                        }
                    }
                }
            }
        });
        let b = Peer::with(b, |server| server.on_cancel(OnCancel::Notify)).await;
        let (ctx, canceler) = Context::background().with_cancel();
        let client = b.client_with(|client| client.transport(first));
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some());
        canceler.cancel();
        let mut seen = [told.next().await, told.next().await];
        seen.sort_unstable();
        assert_eq!(seen, [("B", at_b), ("C", at_c)], "{first:?} {second:?}");
    }
}

#[tokio::test]
async fn a_shutdown_resets_what_is_left_after_the_exit_wait() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, _, stream| {
        let tell = tell.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            tell.tell(Error::from(ctx.canceled().await).to_string());
            Ok(())
        }
    });
    let peer = Peer::with(handlers, |server| server.exit_wait(Duration::from_millis(100))).await;
    let mut down = client(&peer).down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    let stopped = peer.stop();
    let expected = "rpc error: code = 14 desc = graceful shutdown";
    assert_eq!(told.next().await, expected);
    assert_eq!(text(soon(down.recv()).await), expected);
    soon(stopped).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_ends_within_the_exit_wait_ends_well() {
    let (go, gone) = watch::channel(false);
    let handlers = Handlers::default().down(move |_, _, stream| {
        let mut gone = gone.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            gone.wait_for(|gone| *gone).await.unwrap();
            stream.send(&resp("done", 1)).await
        }
    });
    let peer = Peer::with(handlers, |server| server.exit_wait(Duration::from_secs(30))).await;
    let mut down = client(&peer).down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    let stopped = peer.stop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    go.send_replace(true);
    assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(1));
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    soon(stopped).await.unwrap();
}

#[tokio::test]
async fn a_lost_server_and_a_lost_client_are_told_apart_from_a_cancel() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, _, stream| {
        let tell = tell.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            tell.tell(Error::from(ctx.canceled().await).to_string());
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let proxy = Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).transport(Transport::Grpc).build().unwrap());
    let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    proxy.cut();
    let error = soon(down.recv()).await.unwrap_err();
    let expected = format!(
        "connection error: desc = \"error reading from server, remoteAddress={}, error=EOF peer close\"",
        proxy.address
    );
    assert_eq!((error.to_string(), error.kind()), (expected, Some(Kind::Protocol)));
    assert_eq!(
        told.next().await,
        "rpc error: code = 1 desc = transport: connection EOF [triggered by remote service]"
    );
}
