//! Limits, and that one stream does not affect another.

use std::time::Duration;

use kitex::Context;
use kitex::ErrorKind;
use kitex::client::{GrpcConfig, Retry, Transport};
use tokio::sync::watch;

use super::{client, drain, text};
use crate::fixture::{Handlers, Peer, Req, Resp, large, req, soon};

#[tokio::test]
async fn grpc_cancels_of_half_the_streams_end_no_other() {
    let handlers = Handlers::default().bidi(|_, mut stream| async move {
        while let Some(Req { msg, seq, payload }) = stream.recv().await? {
            stream.send(&Resp { msg, seq, payload }).await?;
        }
        Ok(())
    });
    let peer = Peer::start(handlers).await;
    let client = client(&peer);
    for fresh in [true, false] {
        let mut streams = Vec::new();
        for _ in 0..200 {
            let mut bidi = client.bidi(&Context::background()).await.unwrap();
            if !fresh {
                bidi.send(&req("", 1)).await.unwrap();
                assert!(soon(bidi.recv()).await.unwrap().is_some());
            }
            streams.push(bidi);
        }
        let mut left = Vec::new();
        for (index, bidi) in streams.into_iter().enumerate() {
            if index % 2 == 0 {
                drop(bidi);
            } else {
                left.push(bidi);
            }
        }
        for mut bidi in left {
            bidi.send(&req("", 2)).await.unwrap();
            assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(2), "fresh: {fresh}");
            bidi.close_send();
            assert_eq!(soon(bidi.recv()).await.unwrap(), None);
        }
    }
}

#[tokio::test]
async fn grpc_flow_control_of_unread_streams_stops_no_other() {
    let peer = Peer::start(Handlers::default()).await;
    let client = client(&peer);
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(client.down(&Context::background(), req("", 5_000)).await.unwrap());
    }
    let (count, ended) = drain(&client, 100).await;
    assert_eq!((count, text(ended)), (100, "ok".to_owned()));
    let mut last = unread.pop().unwrap();
    for seq in 0..5_000 {
        assert_eq!(soon(last.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
}

#[tokio::test]
async fn grpc_limits_refuse_with_a_status() {
    let limits = GrpcConfig::default().max_message_size(1000);
    let peer = Peer::with(Handlers::default(), |server| server.grpc(limits).max_concurrent_streams(2)).await;
    let client = client(&peer);
    let ctx = Context::background();
    let mut bidi = client.bidi(&ctx).await.unwrap();
    bidi.send(&large(2000)).await.unwrap();
    let error = text(soon(bidi.recv()).await);
    assert!(error.starts_with("rpc error: code = 8 desc = received message larger than max (20"), "{error}");
    let own = peer.client_with(|client| {
        client.transport(Transport::Grpc).grpc(GrpcConfig::default().max_message_size(1000))
    });
    let mut bidi = own.bidi(&ctx).await.unwrap();
    let error = text(soon(bidi.send(&large(2000))).await);
    assert!(error.starts_with("rpc error: code = 8 desc = "), "{error}");
    bidi.send(&req("still", 1)).await.unwrap();
    assert_eq!(
        soon(bidi.recv()).await.unwrap().unwrap().seq,
        Some(1),
        "a message that is too large harms nothing"
    );
    bidi.close_send();
    while soon(bidi.recv()).await.unwrap().is_some() {}

    // A stream over the peer's limit waits for a place, and still obeys its context.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut bidi = client.bidi(&ctx).await.unwrap();
        bidi.send(&req("", 1)).await.unwrap();
        soon(bidi.recv()).await.unwrap();
        held.push(bidi);
    }
    let short = ctx.with_timeout(Duration::from_millis(100));
    match client.bidi(&short).await {
        Ok(mut waiting) => {
            let ended = text(soon(waiting.recv()).await);
            assert_eq!(ended, "rpc error: code = 4 desc = context deadline exceeded");
        }
        // On a busy machine it may have passed before that.
        Err(error) => assert_eq!(error.to_string(), "rpc timeout"),
    }
    let mut third = client.bidi(&ctx).await.unwrap();
    let message = req("", 3);
    let sending = async {
        let sent = soon(third.send(&message)).await;
        sent.unwrap();
    };
    tokio::join!(sending, async { drop(held) });
    assert_eq!(soon(third.recv()).await.unwrap().unwrap().seq, Some(3), "a place has become free");
}

/// 16 MiB of them, on one connection.
#[tokio::test]
async fn grpc_header_lists_of_running_handlers_are_bounded() {
    const STREAMS: usize = 100;
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.client_with(|client| client.transport(Transport::Grpc).retry(Retry::none()));
    let ctx = Context::background().with_transient("k", vec![b'v'; 200_000]);
    let (mut served, mut refused) = (Vec::new(), 0);
    for _ in 0..STREAMS {
        let mut bidi = client.bidi(&ctx).await.unwrap();
        // Fails if the refusal is already here.
        let _ = bidi.send(&req("", 1)).await;
        match soon(bidi.recv()).await {
            Ok(resp) => {
                assert_eq!(resp.unwrap().seq, Some(1));
                served.push(bidi);
            }
            Err(error) => {
                assert!(error.to_string().contains("REFUSED_STREAM"), "{error}");
                refused += 1;
            }
        }
    }
    assert!((40..42).contains(&served.len()), "{} of 200 kB in 8 MiB", served.len());
    assert_eq!(served.len() + refused, STREAMS);
    // A handler that has returned makes room.
    let mut ended = served.pop().unwrap();
    ended.close_send();
    assert_eq!(soon(ended.recv()).await.unwrap(), None);
    let mut next = client.bidi(&ctx).await.unwrap();
    next.send(&req("", 2)).await.unwrap();
    assert_eq!(soon(next.recv()).await.unwrap().unwrap().seq, Some(2));
}

#[tokio::test]
async fn grpc_send_timeout_ends_the_stream() {
    let (hold, held) = watch::channel(false);
    let handlers = Handlers::default().bidi(move |_, _stream| {
        let mut held = held.clone();
        async move {
            held.wait_for(|held| *held).await.unwrap();
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let client =
        peer.client_with(|client| client.transport(Transport::Grpc).send_timeout(Duration::from_millis(200)));
    let bidi = client.bidi(&Context::background()).await.unwrap();
    let error = loop {
        if let Err(error) = soon(bidi.send(&large(100_000))).await {
            break error;
        }
    };
    assert_eq!(error.to_string(), "rpc error: code = 4 desc = stream Send timeout, timeout=200ms");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    hold.send_replace(true);
}
