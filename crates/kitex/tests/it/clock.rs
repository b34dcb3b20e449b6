//! tokio's paused clock: timers, due times and what views say of time use the same clock, so that a test of hours takes
//! no time.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use kitex::client::ClientBuilder;
use kitex::inspect::to_json;
use kitex::server::{ConnectionConfig, GrpcConfig, OnCancel, ServerBuilder};
use kitex::{Context, RecvTimeout};

use crate::fixture::{EchoClient, Handlers, Peer, ended, req, resp};

const HOURS: Duration = Duration::from_secs(4 * 3600);
/// For what may end nothing here.
const NEVER: Duration = Duration::from_secs(1000 * 3600);
const WAITING: RecvTimeout = RecvTimeout { timeout: HOURS, disable_cancel_remote: false };

/// Down and Unary wait for a cancel, Bidi for a request.
fn handlers() -> Handlers {
    Handlers::default()
        .down(|ctx, _, stream| async move {
            stream.send(&resp("", 0)).await?;
            Err(ctx.canceled().await.into())
        })
        .unary(|ctx, _| async move { Err(ctx.canceled().await.into()) })
        .bidi(|_, mut stream| async move {
            stream.send(&resp("", 0)).await?;
            let _ = stream.recv().await;
            // The end of its stream is not the handler's.
            std::future::pending().await
        })
}

/// What passes in the end, and in which words.
type Row =
    (&'static str, fn(ServerBuilder) -> ServerBuilder, fn(ClientBuilder) -> ClientBuilder, &'static str);

fn rows() -> [Row; 7] {
    fn idle() -> (ConnectionConfig, GrpcConfig) {
        let (here, there) = (ConnectionConfig::default(), GrpcConfig::default());
        (here.stream_idle_timeout(HOURS), there.stream_idle_timeout(HOURS))
    }
    [
        ("recv", |server| server, |client| client.recv_timeout(WAITING), "12014 client"),
        ("deadline", |server| server, |client| client, "12015 client"),
        ("recv of the handler", |server| server.recv_timeout(WAITING), |client| client, "12014 client"),
        ("call", |server| server, |client| client, "timeout"),
        ("idle", |server| server, |client| client.connection(idle().0).grpc(idle().1), "12905 client"),
        ("grace", |server| server.on_cancel(OnCancel::NotifyThenDrop(HOURS)), |client| client, "dropped"),
        ("exit_wait", |server| server.exit_wait(HOURS), |client| client, "12013 client ServiceB"),
    ]
}

/// Waits in one way until a time of hours has passed. Returns how that ended.
async fn wait(what: &str, client: EchoClient, peer: Peer) -> String {
    let (ctx, canceler) = Context::background().with_cancel();
    let ctx = if matches!(what, "deadline" | "call") { ctx.with_timeout(HOURS) } else { ctx };
    // Everything is dialed and received before the clock is paused, so that afterwards only timers advance it.
    client.ping(&Context::background(), req("", 0)).await.unwrap();
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    let mut bidi = client.bidi(&ctx).await.unwrap();
    assert!(down.recv().await.unwrap().is_some() && bidi.recv().await.unwrap().is_some());
    tokio::time::pause();
    assert!(ctx.canceled().now_or_never().is_none(), "{what}: not before its time");
    match what {
        "recv of the handler" => ended(&bidi.recv().await),
        "call" => ended(&client.unary(&ctx, req("", 0)).await),
        "grace" => {
            canceler.cancel();
            assert!(bidi.recv().await.is_err());
            // Its handler goes on: the shutdown waits until its grace has passed.
            let _ = peer.stop().await;
            "dropped".to_owned()
        }
        "exit_wait" => {
            let _stopped = peer.stop();
            ended(&down.recv().await)
        }
        _ => ended(&down.recv().await),
    }
}

#[tokio::test]
async fn timeouts_and_deadlines_follow_a_paused_clock() {
    for (what, server, client, expected) in rows() {
        let peer = Peer::with(handlers(), |builder| {
            server(builder.idle_timeout(NEVER).on_cancel(OnCancel::NotifyThenDrop(Duration::ZERO)))
        });
        let peer = peer.await;
        let client = peer.client_with(|builder| client(builder.idle_timeout(NEVER)));
        let (began, at) = (Instant::now(), tokio::time::Instant::now());
        let end = wait(what, client, peer).await;
        assert!(end.starts_with(expected), "{what}: {end}");
        assert!(at.elapsed() >= HOURS - Duration::from_secs(1), "{what}: {:?}", at.elapsed());
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: {:?}", began.elapsed());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn inspect_counts_ages_on_a_paused_clock() {
    let peer = Peer::with(handlers(), |server| server.idle_timeout(NEVER)).await;
    let client = peer.client_with(|client| client.idle_timeout(NEVER));
    let mut changes = kitex::inspect::Changes::new();
    tokio::time::pause();
    tokio::time::sleep(HOURS).await;
    // What passes a socket while the clock is paused may come later than an hour.
    tokio::time::resume();
    let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
    assert!(down.recv().await.unwrap().is_some());
    tokio::time::pause();
    tokio::time::sleep(HOURS).await;
    let (tree, opened) = (to_json(), changes.take().unwrap_or_default());
    for streams in [&tree["streams"], &opened["opened"]] {
        let ours = streams.as_array().unwrap().iter().find(|stream| stream["peer"] == *peer.address);
        let age = ours.unwrap()["age_ms"].as_u64().unwrap();
        let hours = u64::try_from(HOURS.as_millis()).unwrap();
        assert!((hours..2 * hours).contains(&age), "{age} of {hours} ms");
    }
}
