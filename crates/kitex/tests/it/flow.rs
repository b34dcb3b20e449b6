//! Flow control and backpressure: large messages, senders that are faster than their receivers, slow consumers, and
//! deadlocks that end.

use std::time::Duration;

use kitex::client::PoolKind;
use kitex::server::ConnectionConfig;
use kitex::{BidiStreamingServer, Context, Result};
use tokio::sync::watch;

use crate::fixture::by;
use crate::fixture::of_ttheader_alone;
use crate::fixture::{
    Handlers, Peer, Recorder, Req, Resp, answer, brief, count_to_error, ended, large, reports, req, resp,
    soon,
};

const MB: usize = 1024 * 1024;

#[tokio::test]
async fn flow_control_passes_a_message_of_ten_megabytes_in_every_mode() {
    let handlers = Handlers::default()
        .down(|_, req, stream| async move { stream.send(&answer(req)).await })
        .up(|_, mut stream| async move { Ok(answer(stream.recv().await?.unwrap_or_default())) });
    let peer = Peer::start(handlers).await;
    for pool in [PoolKind::Mux(1), PoolKind::Short] {
        let (client, ctx) = (peer.client_with(|client| client.pool(pool)), Context::background());
        let check = |answer: Resp| assert_eq!(answer.payload.map(|payload| payload.len()), Some(10 * MB));
        check(soon(client.unary(&ctx, large(10 * MB))).await.unwrap());
        let mut down = client.down(&ctx, large(10 * MB)).await.unwrap();
        check(soon(down.recv()).await.unwrap().unwrap());
        let mut up = client.up(&ctx).await.unwrap();
        up.send(&large(10 * MB)).await.unwrap();
        check(soon(up.close_and_recv()).await.unwrap());
        let mut bidi = client.bidi(&ctx).await.unwrap();
        bidi.send(&large(10 * MB)).await.unwrap();
        check(soon(bidi.recv()).await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn frame_limit_fails_one_send_only() {
    let peer = Peer::start(Handlers::default()).await;
    let (client, ctx) = (peer.client(), Context::background());
    let mut other = client.bidi(&ctx).await.unwrap();
    let mut bidi = client.bidi(&ctx).await.unwrap();
    // Opened before the large message is encoded, which may take longer than `preface_timeout`.
    other.send(&req("", 0)).await.unwrap();
    assert_eq!(soon(other.recv()).await.unwrap().unwrap().seq, Some(0));
    // A frame that the peer refuses ends the connection there; one that no peer accepts is refused here.
    let refused = bidi.send(&large(1024 * MB)).await;
    assert_eq!(ended(&refused), "12005 client");
    bidi.send(&req("", 1)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(1));
    other.send(&req("", 2)).await.unwrap();
    assert_eq!(soon(other.recv()).await.unwrap().unwrap().seq, Some(2));
}

/// Sends ten megabytes before it takes any.
async fn send_first(stream: &mut BidiStreamingServer<Req, Resp>) -> Result<usize> {
    for _ in 0..10 {
        stream.send(&answer(large(MB))).await?;
    }
    let mut received = 0;
    while let Some(req) = stream.recv().await? {
        received += req.payload.map_or(0, |payload| payload.len());
    }
    Ok(received)
}

/// Both sides send before they receive. With buffers for all of it that works; otherwise each blocks
/// the other, and one of them loses the stream after `slow_consumer_timeout_exclusive`.
#[tokio::test]
async fn flow_control_ends_a_deadlock_of_two_senders() {
    if of_ttheader_alone("each stream has a window of its own, so none waits for another") {
        return;
    }
    let roomy = ConnectionConfig::default().stream_receive_window(16 * MB).receive_window(64 * MB);
    let tight = ConnectionConfig::default().slow_consumer_timeout_exclusive(Duration::from_millis(200));
    for (config, fits) in [(roomy, true), (tight, false)] {
        let (reporter, mut reported) = reports();
        let handlers = Handlers::default().bidi(move |_, mut stream| {
            let reporter = reporter.clone();
            async move {
                let result = send_first(&mut stream).await;
                reporter.send(result.as_ref().map(|received| *received).map_err(brief));
                result.map(drop)
            }
        });
        let of_server = config.clone();
        let peer = Peer::with(handlers, |server| server.connection(of_server)).await;
        let client = peer.client_with(|client| client.connection(config));
        let mut stream = client.bidi(&Context::background()).await.unwrap();
        let result = soon(async {
            for _ in 0..10 {
                stream.send(&large(MB)).await?;
            }
            stream.close_send();
            let mut received = 0;
            while let Some(resp) = stream.recv().await? {
                received += resp.payload.map_or(0, |payload| payload.len());
            }
            kitex::Result::Ok(received)
        })
        .await;
        let (here, there) = (result.map_err(|error| brief(&error)), reported.next().await);
        if fits {
            assert_eq!((here, there), (Ok(10 * MB), Ok(10 * MB)));
        } else {
            let slow = |end: &Result<usize, String>| end.as_ref().is_err_and(|end| end.starts_with("12901"));
            assert!(slow(&here) || slow(&there), "{here:?} {there:?}");
        }
    }
}

/// A handler that sends as fast as it can until Send fails.
fn flood(reporter: crate::fixture::Reporter<String>) -> Handlers {
    Handlers::default().down(move |_, req, stream| {
        let reporter = reporter.clone();
        async move {
            let message = Resp { seq: req.seq, ..answer(large(10_000)) };
            let mut left = req.seq.unwrap_or(i64::MAX);
            while left > 0 {
                if let Err(error) = stream.send(&message).await {
                    reporter.send(brief(&error));
                    return Err(error);
                }
                left -= 1;
            }
            Ok(())
        }
    })
}

#[tokio::test]
async fn slow_consumer_loses_its_stream_if_others_wait() {
    if of_ttheader_alone("each stream has a window of its own, so none waits for another") {
        return;
    }
    let (reporter, mut reported) = reports();
    let peer = Peer::start(flood(reporter)).await;
    let (client, ctx) = (peer.client(), Context::background());
    let mut others = client.bidi(&ctx).await.unwrap();
    let mut slow = client.down(&ctx, Req { seq: None, ..req("", 0) }).await.unwrap();
    let started = std::time::Instant::now();
    assert_eq!(reported.next().await, "12901 server ServiceA");
    println!("12901 after {:?}", started.elapsed());
    // Messages that had arrived are delivered, then the reason.
    let (count, error) = count_to_error(&mut slow).await;
    assert_eq!(brief(&error), "12901 client");
    assert!((50..1000).contains(&count), "{count} messages of 10 kB: the bound is one megabyte");
    others.send(&req("", 3)).await.unwrap();
    assert_eq!(soon(others.recv()).await.unwrap().unwrap().seq, Some(3));
}

/// A slow consumer alone on its connection: backpressure by TCP makes its sender wait.
#[tokio::test]
async fn backpressure_of_a_lone_slow_consumer_makes_send_wait() {
    const MESSAGES: i64 = 3000;
    let (reporter, mut reported) = reports();
    let recorder = Recorder::default();
    let watching = recorder.clone();
    let peer = Peer::with(flood(reporter), |server| server.observer(watching)).await;
    let client = peer.client_with(|client| client.pool(PoolKind::Short));
    let mut slow = client.down(&Context::background(), req("", MESSAGES)).await.unwrap();
    soon(slow.header()).await.unwrap();
    // Until the sender is blocked: twice `slow_consumer_timeout`.
    let mut sent = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let now = recorder.words().iter().filter(|word| *word == "sent").count();
        if now == std::mem::replace(&mut sent, now) {
            break;
        }
    }
    assert!(sent < 3000, "30 MB are more than sockets and bounds hold");
    for _ in 0..MESSAGES {
        assert!(soon(slow.recv()).await.unwrap().is_some());
    }
    assert_eq!(soon(slow.recv()).await.unwrap(), None);
    assert!(reported.waiting().is_empty(), "the sender was held, not canceled");
}

/// One handler waits for another stream of the same connection, whose messages are queued after its own.
#[tokio::test]
async fn flow_control_ends_a_stream_that_waits_for_another() {
    let (reporter, _reported) = reports();
    let peer = Peer::start(flood(reporter)).await;
    let (client, ctx) = (peer.client(), Context::background());
    let mut first = client.down(&ctx, req("", 2000)).await.unwrap();
    let mut second = client.down(&ctx, req("", 2000)).await.unwrap();
    // Receives the second to its end before the first.
    let drain = async |stream: &mut kitex::ServerStreamingClient<Resp>| loop {
        match soon(stream.recv()).await {
            Ok(Some(_)) => {}
            Ok(None) => break "ok".to_owned(),
            Err(error) => break brief(&error),
        }
    };
    assert_eq!(drain(&mut second).await, "ok");
    let first = drain(&mut first).await;
    // Over gRPC each stream has a window of its own.
    assert_eq!(first, by("12901 client", "ok"), "20 MB that nobody took");
}

#[tokio::test]
async fn send_that_waits_is_woken_by_the_end() {
    let (go, gone) = watch::channel(false);
    let up = move |_, stream: kitex::ClientStreamingServer<Req>| {
        let mut gone = gone.clone();
        async move {
            let _keeps = stream;
            gone.wait_for(|gone| *gone).await.unwrap();
            Ok(resp("enough", 0))
        }
    };
    let peer = Peer::start(Handlers::default().up(up)).await;
    let mut stream = peer.client().up(&Context::background()).await.unwrap();
    let sent = soon(async {
        let mut sent = 0;
        loop {
            // The handler ends when the sockets are full.
            match tokio::time::timeout(Duration::from_millis(300), stream.send(&large(100_000))).await {
                Ok(Ok(())) => sent += 1,
                Ok(Err(error)) => return (sent, brief(&error)),
                Err(_) => drop(go.send_replace(true)),
            }
        }
    })
    .await;
    assert_eq!(sent.1, "12005 client", "after {} messages", sent.0);
    assert_eq!(soon(stream.close_and_recv()).await.unwrap().msg.as_deref(), Some("enough"));
}
