//! Cancels, deadlines, timeouts, cascades and shutdown.

use std::time::Duration;

use kitex::client::{ClientBuilder, Transport};
use kitex::server::OnCancel;
use kitex::{Context, Error, ErrorKind, RecvTimeout, Result};
use tokio::sync::watch;

use super::{CANCELED_BY_A, client, in_memory, text};
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

#[tokio::test(start_paused = true)]
async fn grpc_end_cancels_a_handler_that_does_not_receive() {
    let rows = [
        (Ends::Cancel, "rpc error: code = 1 desc = context canceled", ErrorKind::Canceled),
        (Ends::Cause, "rpc error: code = 1 desc = context canceled", ErrorKind::Canceled),
        (Ends::Drop, "", ErrorKind::Canceled),
        (Ends::DropSender, "rpc error: code = 1 desc = context canceled", ErrorKind::Canceled),
        (Ends::Deadline, "rpc error: code = 4 desc = context deadline exceeded", ErrorKind::Timeout),
        (
            Ends::RecvTimeout,
            "rpc error: code = 17 desc = stream Recv timeout, timeout config={Timeout:200ms DisableCancelRemote:false}",
            ErrorKind::Timeout,
        ),
    ];
    for (ends, at_client, kind) in rows {
        let (reporter, mut reported) = reports();
        let handlers = Handlers::default().bidi(move |ctx: Context, stream| {
            let reporter = reporter.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                reporter.send(Error::from(ctx.canceled().await).to_string());
                reporter.send(text(stream.send(&resp("late", 0)).await));
                Ok(())
            }
        });
        let (_server, client) = in_memory(handlers, |server| server.on_cancel(OnCancel::Notify));
        let ended = end_stream(client(), ends, &mut reported).await;
        let sent = reported.next().await;
        let is_deadline = sent == "rpc error: code = 4 desc = context deadline exceeded";
        assert!(sent == CANCELED_BY_A || is_deadline && matches!(ends, Ends::Deadline), "{ends:?}: {sent}");
        if let Some(ended) = ended {
            let error = ended.unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (at_client, kind), "{ends:?}");
            assert_eq!(error.is_canceled(), kind == ErrorKind::Canceled);
        }
    }
}

/// Ends a stream whose handler waits. Returns what the client receives, if it still can.
async fn end_stream(
    mut client: ClientBuilder,
    ends: Ends,
    reported: &mut Reports<String>,
) -> Option<Result<Option<Resp>>> {
    if matches!(ends, Ends::RecvTimeout) {
        client = client.recv_timeout(RecvTimeout::new(Duration::from_millis(200)));
    }
    let client = EchoClient::new(client.build().unwrap());
    let (mut ctx, canceler) = Context::background().with_cancel();
    if matches!(ends, Ends::Deadline) {
        ctx = ctx.with_timeout(Duration::from_millis(500));
    }
    let mut bidi = client.bidi(&ctx).await.unwrap();
    assert!(soon(bidi.recv()).await.unwrap().is_some());
    match ends {
        Ends::Cancel => {
            canceler.cancel();
            // The handler is notified before the client receives.
            assert_eq!(reported.next().await, CANCELED_BY_A, "{ends:?}");
            Some(soon(bidi.recv()).await)
        }
        Ends::Cause => {
            canceler.cancel_with_cause("user pressed stop");
            assert_eq!(reported.next().await, CANCELED_BY_A, "{ends:?}");
            Some(soon(bidi.recv()).await)
        }
        Ends::Drop => {
            drop(bidi);
            assert_eq!(reported.next().await, CANCELED_BY_A, "{ends:?}");
            None
        }
        Ends::DropSender => {
            let (sender, mut receiver) = bidi.split();
            drop(sender);
            assert_eq!(reported.next().await, CANCELED_BY_A, "{ends:?}");
            Some(soon(receiver.recv()).await)
        }
        Ends::Deadline => {
            // The handler has a deadline of its own: either may fire first.
            let seen = reported.next().await;
            assert!([CANCELED_BY_A, "context deadline exceeded"].contains(&&*seen), "{seen}");
            Some(soon(bidi.recv()).await)
        }
        Ends::RecvTimeout => {
            let ended = soon(bidi.recv()).await;
            assert_eq!(reported.next().await, CANCELED_BY_A, "{ends:?}");
            Some(ended)
        }
    }
}

#[tokio::test]
async fn grpc_recv_timeout_that_keeps_the_stream_loses_no_message() {
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
async fn grpc_canceled_context_opens_nothing() {
    let peer = Peer::start(Handlers::default()).await;
    let client = client(&peer);
    let (ctx, canceler) = Context::background().with_cancel();
    canceler.cancel();
    let rows = [
        (ctx, ErrorKind::Canceled),
        (Context::background().with_timeout(Duration::ZERO), ErrorKind::Timeout),
    ];
    for (ctx, kind) in rows {
        let error = soon(client.bidi(&ctx)).await.map(drop).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), ("rpc timeout", kind));
    }
}

#[tokio::test]
async fn grpc_canceled_call_has_the_text_of_kitex() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().unary(move |ctx: Context, _| {
        let reporter = reporter.clone();
        async move {
            reporter.send("begun".to_owned());
            reporter.send(Error::from(ctx.canceled().await).to_string());
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
    assert_eq!(reported.next().await, "begun");
    canceler.cancel();
    let error = soon(calling).await.unwrap().unwrap_err();
    let expected = format!(
        "rpc timeout: timeout=0s, to=ServiceB, method=Unary, location=kitex.rpcTimeoutMW, remote={}: context \
         canceled by business",
        peer.address
    );
    assert_eq!((error.to_string(), error.is_canceled()), (expected, true));
    assert_eq!(reported.next().await, CANCELED_BY_A);
    let ctx = Context::background().with_timeout(Duration::from_millis(300));
    let error = soon(client.unary(&ctx, req("", 0))).await.unwrap_err();
    assert!(matches!(&error, Error::Timeout(text) if text.contains("to=ServiceB, method=Unary")), "{error}");
}

#[tokio::test]
async fn grpc_graceful_shutdown_resets_streams_after_exit_wait() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, _, stream| {
        let reporter = reporter.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            reporter.send(Error::from(ctx.canceled().await).to_string());
            Ok(())
        }
    });
    let peer = Peer::with(handlers, |server| server.exit_wait(Duration::from_millis(100))).await;
    let mut down = client(&peer).down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    let stopped = peer.stop();
    let expected = "rpc error: code = 14 desc = graceful shutdown";
    assert_eq!(reported.next().await, expected);
    assert_eq!(text(soon(down.recv()).await), expected);
    soon(stopped).await.unwrap();
}

#[tokio::test]
async fn grpc_graceful_shutdown_lets_streams_end_within_exit_wait() {
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
async fn grpc_lost_connection_is_distinguished_from_a_cancel() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().down(move |ctx: Context, _, stream| {
        let reporter = reporter.clone();
        async move {
            stream.send(&resp("begun", 0)).await?;
            reporter.send(Error::from(ctx.canceled().await).to_string());
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
    assert_eq!((error.to_string(), error.kind()), (expected, ErrorKind::Connection));
    assert_eq!(
        reported.next().await,
        "rpc error: code = 1 desc = transport: connection EOF [triggered by remote service]"
    );
}
