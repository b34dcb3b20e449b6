//! Timeouts of Recv, Send, streams and dials: by whom they are set, and with which error they end. Each is short; tests
//! check the error, never the elapsed time.

use std::time::Duration;

use futures_util::FutureExt;
use kitex::client::PoolKind;
use kitex::server::{ConnectionConfig, GrpcConfig};
use kitex::{Context, Error, ErrorKind, RecvTimeout, Result};
use tokio::sync::watch;

use crate::fixture::by;
use crate::fixture::chain::idle;
use crate::fixture::echo::EchoPingError;
use crate::fixture::{
    EchoClient, Handlers, Peer, Refusing, Reporter, Reports, Req, Unreachable, answer, brief, builder,
    check_late, ended, failed_send, large, reports, req, resp, soon, until,
};

const SHORT: Duration = Duration::from_millis(50);
/// Long enough for the stream to be open before it passes.
const MEDIUM: Duration = Duration::from_millis(400);
const RECV: RecvTimeout = RecvTimeout::new(SHORT);
const KEEP: RecvTimeout = RecvTimeout { timeout: SHORT, disable_cancel_remote: true };

/// Handlers that do not respond and report the error of their stream.
fn silent(reporter: &Reporter<String>) -> Handlers {
    let (up, down, bidi) = (reporter.clone(), reporter.clone(), reporter.clone());
    Handlers::default()
        .up(move |ctx, _stream| wait(ctx, up.clone()).map(|ended| ended.map(|()| resp("", 0))))
        .down(move |ctx, _, _| wait(ctx, down.clone()))
        .bidi(move |_, mut stream| {
            let reporter = bidi.clone();
            async move {
                while let Some(req) = stream.recv().await.inspect_err(|error| reporter.send(brief(error)))? {
                    stream.send(&answer(req)).await?;
                }
                std::future::pending().await
            }
        })
}

/// Opens a stream, which sends and receives if it is not late, and drops it, so that a connection stands. Waits until its handler
/// has returned.
async fn connect(client: &EchoClient, reported: &mut Reports<String>) {
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    bidi.send(&req("", 0)).await.unwrap();
    let _ = soon(bidi.recv()).await;
    drop(bidi);
    reported.next().await;
}

async fn wait(ctx: Context, reporter: Reporter<String>) -> Result<()> {
    let error = Error::from(ctx.canceled().await);
    reporter.send(brief(&error));
    Err(error)
}

/// Opens a stream of each mode, and returns the result of its Recv once its handler runs: a gRPC stream that ends before its
/// opening is written is not sent.
async fn recv_in_each_mode(peer: &Peer, client: &EchoClient) -> [Result<()>; 3] {
    let ctx = Context::background();
    let runs = async |handlers: usize| until(|| peer.handle.stats().handlers == handlers).await;
    let mut up = client.up(&ctx).await.unwrap();
    runs(1).await;
    let up = soon(up.close_and_recv()).await.map(drop);
    runs(0).await;
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    runs(1).await;
    let down = soon(down.recv()).await.map(drop);
    runs(0).await;
    let mut bidi = client.bidi(&ctx).await.unwrap();
    runs(1).await;
    [up, down, soon(bidi.recv()).await.map(drop)]
}

#[tokio::test]
async fn recv_timeout_of_client_clone_or_call_ends_both_ends() {
    let (reporter, mut reported) = reports();
    let peer = Peer::start(silent(&reporter)).await;
    let plain = peer.raw_client(|client| client);
    let late = RecvTimeout::new(Duration::from_secs(3600));
    let clients = [
        ("client", peer.client_with(|client| client.recv_timeout(RECV))),
        ("clone", EchoClient::new(plain.with_recv_timeout(RECV))),
        ("generated clone", peer.client_with(|client| client.recv_timeout(late)).with_recv_timeout(RECV)),
        ("call", EchoClient::new(plain.with_options(|options| options.recv_timeout = Some(RECV)))),
    ];
    for (set_by, client) in clients {
        until(|| peer.handle.stats().handlers == 0).await;
        for result in recv_in_each_mode(&peer, &client).await {
            let error = result.unwrap_err();
            assert_eq!(brief(&error), "12014 client", "{set_by}");
            assert_eq!(error.kind(), ErrorKind::Timeout, "{set_by}");
            assert!(!error.is_retryable(), "{set_by}");
            let words = "stream Recv timeout, timeout config={Timeout:50ms DisableCancelRemote:false}";
            assert!(error.to_string().ends_with(words), "{error}");
            assert_eq!(reported.next().await, "12014 server ServiceA", "{set_by}");
        }
    }
}

#[tokio::test]
async fn recv_timeout_can_be_removed() {
    let (go, gone) = watch::channel(false);
    let down = move |_, _, stream: kitex::ServerStreamingServer<_>| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|gone| *gone).await.unwrap();
            stream.send(&resp("", 0)).await
        }
    };
    let peer = Peer::start(Handlers::default().down(down)).await;
    let client = peer.client_with(|client| client.recv_timeout(RECV));
    let ctx = Context::background();
    let mut without = client.with_recv_timeout(None).down(&ctx, req("", 0)).await.unwrap();
    // The timeout of the other stream passes while this one waits.
    let waiting = tokio::spawn(async move { without.recv().await });
    let mut with = client.down(&ctx, req("", 0)).await.unwrap();
    assert_eq!(ended(&soon(with.recv()).await), "12014 client");
    go.send_replace(true);
    assert!(soon(waiting).await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn recv_timeout_that_keeps_the_stream_can_be_retried() {
    let (go, gone) = watch::channel(0);
    let bidi = move |_, mut stream: kitex::BidiStreamingServer<Req, _>| {
        let mut gone = gone.clone();
        async move {
            while let Some(req) = stream.recv().await? {
                gone.wait_for(|gone| *gone > req.seq.unwrap()).await.unwrap();
                stream.send(&crate::fixture::answer(req)).await?;
            }
            Ok(())
        }
    };
    let peer = Peer::start(Handlers::default().bidi(bidi)).await;
    let client = peer.client_with(|client| client.recv_timeout(KEEP));
    let mut stream = client.bidi(&Context::background()).await.unwrap();
    for seq in 0..3 {
        stream.send(&req("", seq)).await.unwrap();
        for _ in 0..2 {
            let error = soon(stream.recv()).await.unwrap_err();
            assert_eq!((brief(&error).as_str(), error.kind()), ("12014 client", ErrorKind::Timeout));
            assert!(error.is_retryable(), "{error}");
        }
        go.send_replace(seq + 1);
        let answer = loop {
            // On a busy machine it may take more than one try.
            match soon(stream.recv()).await {
                Ok(answer) => break answer.unwrap(),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        assert_eq!(answer.seq, Some(seq));
    }
    stream.close_send();
    let end = loop {
        match soon(stream.recv()).await {
            Err(error) if error.is_retryable() => {}
            end => break end,
        }
    };
    assert_eq!(end.unwrap(), None, "the stream ends as if nothing had been");
}

#[tokio::test]
async fn recv_timeout_of_a_server_ends_or_keeps_the_stream() {
    for timeout in [RECV, KEEP] {
        let (reporter, mut reported) = reports();
        let bidi = move |_, mut stream: kitex::BidiStreamingServer<Req, _>| {
            let reporter = reporter.clone();
            async move {
                let error = stream.recv().await.unwrap_err();
                reporter.send(brief(&error));
                if !error.is_retryable() {
                    return Err(error);
                }
                stream.send(&resp("where are you?", 0)).await
            }
        };
        let peer = Peer::with(Handlers::default().bidi(bidi), |server| server.recv_timeout(timeout)).await;
        let mut stream = peer.client().bidi(&Context::background()).await.unwrap();
        let received = soon(stream.recv()).await;
        assert_eq!(reported.next().await, "12014 server");
        match timeout.disable_cancel_remote {
            false => assert_eq!(ended(&received), "12014 client"),
            true => assert_eq!(received.unwrap().unwrap().msg.as_deref(), Some("where are you?")),
        }
    }
}

#[tokio::test]
async fn stream_timeout_of_client_or_context_ends_both_ends() {
    let (reporter, mut reported) = reports();
    let peer = Peer::start(silent(&reporter)).await;
    let long = Duration::from_secs(3600);
    let client = |timeout| peer.client_with(|client| client.timeout(timeout));
    let rows = [
        ("client", client(MEDIUM), None),
        ("context", peer.client(), Some(MEDIUM)),
        ("client of two", client(MEDIUM), Some(long)),
        ("context of two", client(long), Some(MEDIUM)),
    ];
    for (set_by, client, timeout) in rows {
        // The connection is open before the timeout starts.
        connect(&client, &mut reported).await;
        let root = Context::background();
        let ctx = timeout.map_or(root.clone(), |timeout| root.with_timeout(timeout));
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        let error = soon(down.recv()).await.unwrap_err();
        assert_eq!((brief(&error).as_str(), error.kind()), ("12015 client", ErrorKind::Timeout), "{set_by}");
        let words = by("stream timeout, timeout in ctx: ", "code = 4 desc = context deadline exceeded");
        assert!(error.to_string().contains(words), "{error}");
        check_late(&reported.next().await, "12015 server ServiceA", set_by);
    }
}

#[tokio::test]
async fn deadline_ends_every_wait_of_a_client() {
    let (reporter, mut reported) = reports();
    let (_hold, held) = watch::channel(false);
    let never = move |_, _| {
        let mut held = held.clone();
        async move {
            held.wait_for(|held| *held).await.unwrap();
            Ok(resp("", 0))
        }
    };
    let up = |_, stream: kitex::ClientStreamingServer<Req>| async move {
        let _keeps = stream;
        std::future::pending().await
    };
    let handlers = silent(&reporter).up(up).unary(never.clone()).ping(move |ctx, req| {
        let never = never(ctx, req);
        async move { Ok(never.await?) }
    });
    let peer = Peer::start(handlers).await;
    let client = peer.client();
    let ctx = || Context::background().with_timeout(MEDIUM);
    connect(&client, &mut reported).await;

    let mut down = client.down(&ctx(), req("", 0)).await.unwrap();
    assert_eq!(ended(&soon(down.header()).await), "12015 client");
    check_late(&reported.next().await, "12015 server ServiceA", "header");
    let mut up = client.up(&ctx()).await.unwrap();
    assert_eq!(ended(&soon(up.close_and_recv()).await), "12015 client");
    // These are not received, so a Send soon waits.
    let up = client.up(&ctx()).await.unwrap();
    let error = failed_send(&up).await;
    assert_eq!(brief(&error), "12015 client");

    let error = soon(client.unary(&ctx(), req("", 0))).await.unwrap_err();
    assert_eq!(brief(&error), "timeout");
    assert!(error.to_string().contains("to=ServiceB, method=Unary"), "{error}");
    let ping = soon(client.ping(&ctx(), req("", 0))).await;
    assert!(matches!(ping, Err(EchoPingError::Other(Error::Timeout(_)))), "{ping:?}");
}

#[tokio::test]
async fn deadline_in_the_past_dials_nothing() {
    let refusing = Refusing::new();
    let client = builder(&refusing.address).build().unwrap();
    let (echo, ctx) = (EchoClient::new(client.clone()), Context::background().with_timeout(Duration::ZERO));
    assert_eq!(ended(&soon(echo.down(&ctx, req("", 0))).await), "12015 client");
    assert_eq!(ended(&soon(echo.unary(&ctx, req("", 0))).await), "timeout");
    assert_eq!(client.pool_stats().dials, 0);
}

#[tokio::test]
async fn send_timeout_ends_both_ends() {
    let (reporter, mut reported) = reports();
    let of_down = reporter.clone();
    let (go, gone) = watch::channel(false);
    let of_up = gone.clone();
    let handlers = Handlers::default()
        .up(move |_, mut stream| {
            let (reporter, mut gone) = (reporter.clone(), of_up.clone());
            async move {
                // Receives nothing until the sender's timeout: its Rst follows the messages.
                gone.wait_for(|gone| *gone).await.unwrap();
                while stream.recv().await.inspect_err(|error| reporter.send(brief(error)))?.is_some() {}
                Ok(resp("", 0))
            }
        })
        .down(move |_, _, stream| {
            let (reporter, mut gone) = (of_down.clone(), gone.clone());
            async move {
                gone.wait_for(|gone| *gone).await.unwrap();
                let error = loop {
                    let message = crate::fixture::answer(large(100_000));
                    if let Err(error) = stream.send(&message).await {
                        break error;
                    }
                };
                reporter.send(brief(&error));
                Err(error)
            }
        });
    let peer = Peer::with(handlers, |server| server.send_timeout(SHORT)).await;

    let plain = peer.raw_client(|client| client);
    let clients = [
        peer.client_with(|client| client.send_timeout(SHORT)),
        EchoClient::new(plain.with_options(|options| options.send_timeout = Some(SHORT))),
    ];
    for client in clients {
        go.send_replace(false);
        let stream = client.up(&Context::background()).await.unwrap();
        let error = failed_send(&stream).await;
        assert_eq!((brief(&error).as_str(), error.kind()), ("12904 client", ErrorKind::Timeout));
        assert!(error.to_string().ends_with("stream Send timeout, timeout=50ms"), "{error}");
        go.send_replace(true);
        assert_eq!(reported.next().await, "12904 server ServiceA");
    }

    go.send_replace(false);
    let mut down = EchoClient::new(plain).down(&Context::background(), req("", 0)).await.unwrap();
    go.send_replace(true);
    assert_eq!(reported.next().await, "12904 server");
    let error = loop {
        match soon(down.recv()).await {
            Ok(message) => assert!(message.is_some(), "an end that is not clean"),
            Err(error) => break error,
        }
    };
    assert_eq!(brief(&error), "12904 client");
}

#[tokio::test]
async fn stream_idle_timeout_ends_both_ends() {
    let idle_after = || ConnectionConfig::default().stream_idle_timeout(SHORT);
    let by_grpc = || GrpcConfig::default().stream_idle_timeout(SHORT);
    for (at_client, here, there) in
        [(true, "12905 client", "12905 server ServiceA"), (false, "12905 client", "12905 server")]
    {
        let (reporter, mut reported) = reports();
        let peer = Peer::with(idle(reporter), |server| match at_client {
            true => server,
            false => server.connection(idle_after()).grpc(by_grpc()),
        })
        .await;
        let client = peer.client_with(|client| match at_client {
            true => client.connection(idle_after()).grpc(by_grpc()),
            false => client,
        });
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        let first = soon(down.recv()).await;
        if first.is_ok() {
            assert_eq!(ended(&soon(down.recv()).await), here);
        } else {
            assert_eq!(ended(&first), here, "on a busy machine it may be idle before its first message");
        }
        assert_eq!(reported.next().await.1, there);
    }
}

#[tokio::test]
async fn connect_timeout_bounds_a_dial() {
    let unreachable = Unreachable::new().await;
    let ctx = Context::background();
    for pool in [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short] {
        let client = builder(&unreachable.address).pool(pool).connect_timeout(SHORT).build().unwrap();
        let client = EchoClient::new(client);
        let error = soon(client.bidi(&ctx)).await.unwrap_err();
        let words = format!("cannot connect to {}: no answer within 50ms", unreachable.address);
        assert_eq!(error.to_string(), words, "{pool:?}");
        let error = soon(client.unary(&ctx, req("", 0))).await.unwrap_err();
        assert_eq!(error.to_string(), words, "{pool:?}");
    }
}

#[tokio::test]
async fn deadline_or_cancel_ends_the_wait_for_a_connection() {
    let unreachable = Unreachable::new().await;
    for pool in [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short] {
        let patient = builder(&unreachable.address).pool(pool).connect_timeout(Duration::from_secs(3600));
        let client = EchoClient::new(patient.build().unwrap());
        let late = Context::background().with_timeout(SHORT);
        assert_eq!(ended(&soon(client.bidi(&late)).await), "12015 client", "{pool:?}");
        let late = Context::background().with_timeout(SHORT);
        assert_eq!(ended(&soon(client.unary(&late, req("", 0))).await), "timeout", "{pool:?}");

        let (ctx, canceler) = Context::background().with_cancel();
        let (waiting, calling) = (client.clone(), client);
        let (of_stream, of_call) = (ctx.clone(), ctx);
        let stream = tokio::spawn(async move { waiting.bidi(&of_stream).await.map(drop) });
        let call = tokio::spawn(async move { calling.unary(&of_call, req("", 0)).await.map(drop) });
        tokio::task::yield_now().await;
        canceler.cancel();
        assert_eq!(ended(&soon(stream).await.unwrap()), "12007 client", "{pool:?}");
        assert_eq!(ended(&soon(call).await.unwrap()), "12007 client", "{pool:?}");
    }
}
