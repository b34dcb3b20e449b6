//! Drops: of a stream in each state, a half, the future of a Send or a Recv, a client, a server. A drop is a cancel, never
//! a clean end.

use std::time::Duration;

use futures_util::FutureExt;
use kitex::{BidiStreamingClient, Context, Error, Result};
use tokio::sync::{mpsc, watch};

use crate::fixture::by;
use crate::fixture::{
    EchoClient, Handlers, Peer, Reporter, Reports, Req, Resp, brief, ended, large, reports, req, resp, soon,
    until_canceled,
};

/// A handler that responds to each request, and reports how the requests ended.
async fn echo(
    ctx: Context,
    mut stream: kitex::BidiStreamingServer<Req, Resp>,
    reporter: Reporter<String>,
) -> Result<()> {
    reporter.send("begun".to_owned());
    loop {
        match stream.recv().await {
            Ok(Some(req)) => stream.send(&crate::fixture::answer(req)).await?,
            Ok(None) => {
                reporter.send("end of requests".to_owned());
                break stream.send(&resp("end", 0)).await?;
            }
            Err(error) => {
                reporter.send(brief(&error));
                return Err(error);
            }
        }
    }
    let error = Error::from(ctx.canceled().await);
    reporter.send(brief(&error));
    Err(error)
}

async fn echoing() -> (Peer, Reports<String>) {
    let (reporter, reported) = reports();
    let peer =
        Peer::start(Handlers::default().bidi(move |ctx, stream| echo(ctx, stream, reporter.clone()))).await;
    (peer, reported)
}

type Bidi = BidiStreamingClient<Req, Resp>;
type Boxed = futures_util::future::BoxFuture<'static, ()>;
/// Brings a stream into a state and drops it there, or a part of it.
type Act = fn(Bidi) -> Boxed;

const CANCELED: &str = "12007 server ServiceA";

const ROWS: &[(&str, Act, &[&str])] = &[
    ("just opened", |stream| async { drop(stream) }.boxed(), &[CANCELED]),
    (
        "a request was sent",
        |stream| {
            async move {
                stream.send(&req("", 0)).await.unwrap();
                drop(stream);
            }
            .boxed()
        },
        &[CANCELED],
    ),
    (
        "an answer was received",
        |mut stream| {
            async move {
                stream.send(&req("", 0)).await.unwrap();
                soon(stream.recv()).await.unwrap();
                drop(stream);
            }
            .boxed()
        },
        &[CANCELED],
    ),
    (
        "the requests have ended",
        |mut stream| {
            async move {
                stream.send(&req("", 0)).await.unwrap();
                soon(stream.recv()).await.unwrap();
                stream.close_send();
                soon(stream.recv()).await.unwrap();
                drop(stream);
            }
            .boxed()
        },
        &["end of requests", CANCELED],
    ),
    (
        "in two halves, the receiver first",
        |stream| {
            async move {
                let (sender, receiver) = stream.split();
                drop(receiver);
                let sent = sender.send(&req("", 0)).await;
                assert_eq!(ended(&sent), "12007 client", "the whole stream has ended");
            }
            .boxed()
        },
        &[CANCELED],
    ),
    (
        "in two halves, the sender first",
        |stream| {
            async move {
                let (sender, mut receiver) = stream.split();
                drop(sender);
                assert_eq!(ended(&soon(receiver.recv()).await), "12007 client");
            }
            .boxed()
        },
        &[CANCELED],
    ),
    (
        "the receiver, though the sender has closed",
        |stream| {
            async move {
                let (sender, mut receiver) = stream.split();
                sender.close_send();
                soon(receiver.recv()).await.unwrap();
                drop(receiver);
                drop(sender);
            }
            .boxed()
        },
        &["end of requests", CANCELED],
    ),
    (
        "the last of three senders",
        |stream| {
            async move {
                let (sender, mut receiver) = stream.split();
                let (second, third) = (sender.clone(), sender.clone());
                drop(sender);
                drop(second);
                third.send(&req("", 4)).await.unwrap();
                assert_eq!(soon(receiver.recv()).await.unwrap().unwrap().seq, Some(4));
                drop(third);
                assert_eq!(ended(&soon(receiver.recv()).await), "12007 client");
            }
            .boxed()
        },
        &[CANCELED],
    ),
];

#[tokio::test]
async fn drop_cancels_a_stream_in_any_state() {
    let (peer, mut reported) = echoing().await;
    let client = peer.client();
    // Over gRPC a connection says who cancels from its second round trip on.
    soon(client.unary(&Context::background(), req("", 0))).await.unwrap();
    for (state, act, expected) in ROWS {
        // Queued after another stream's frames, so that the connection's order is the order of the test.
        let stream = client.bidi(&Context::background()).await.unwrap();
        // What is dropped before it was written is not sent at all over gRPC.
        let begun = async { assert_eq!(reported.next().await, "begun", "{state}") };
        if by(false, true) {
            begun.await;
            act(stream).await;
        } else {
            act(stream).await;
            begun.await;
        }
        for word in *expected {
            assert_eq!(reported.next().await, *word, "{state}");
        }
    }
}

#[tokio::test]
async fn drop_of_a_sender_after_close_send_cancels_nothing() {
    let peer = Peer::start(Handlers::default()).await;
    let (sender, mut receiver) = peer.client().bidi(&Context::background()).await.unwrap().split();
    sender.send(&req("", 1)).await.unwrap();
    sender.close_send();
    drop(sender);
    assert_eq!(soon(receiver.recv()).await.unwrap().unwrap().seq, Some(1));
    assert_eq!(soon(receiver.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn drop_of_a_sender_whose_stream_has_ended_keeps_the_outcome() {
    let handlers = Handlers::default().bidi(|_, stream| async move {
        stream.send(&resp("", 1)).await?;
        Err(Error::other("failed"))
    });
    let peer = Peer::start(handlers).await;
    let (sender, mut receiver) = peer.client().bidi(&Context::background()).await.unwrap().split();
    // A Send fails once the end of the stream has arrived, which nobody has received yet.
    soon(async {
        while sender.send(&req("", 0)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    drop(sender);
    assert_eq!(soon(receiver.recv()).await.unwrap().unwrap().seq, Some(1));
    assert_eq!(ended(&soon(receiver.recv()).await), by("12001 client", "grpc 13"));
}

#[tokio::test]
async fn drop_of_an_ended_stream_cancels_nothing() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().down(move |ctx, req, stream| {
        let (reporter, inner) = (reporter.clone(), ctx.clone());
        async move {
            // Reports the context's reason after the handler has returned.
            tokio::spawn(async move { reporter.send(inner.canceled().await.to_string()) });
            stream.send(&resp("", req.seq.unwrap_or_default())).await
        }
    });
    let peer = Peer::start(handlers).await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    drop(down);
    let returned = by("code=12012", "transport: canceled by business handler returning");
    assert!(reported.next().await.contains(returned), "the handler had returned");
}

#[tokio::test]
async fn drop_cancels_client_and_server_streams() {
    let (reporter, mut reported) = reports();
    let of_up = reporter.clone();
    let handlers = Handlers::default()
        .down(move |ctx, _, _| {
            let reporter = reporter.clone();
            async move {
                reporter.send("begun".to_owned());
                reporter.send(brief(&ctx.canceled().await.into()));
                Ok(())
            }
        })
        .up(move |_, mut stream| {
            let reporter = of_up.clone();
            async move {
                reporter.send("begun".to_owned());
                while let Some(_req) = stream.recv().await.inspect_err(|error| reporter.send(brief(error)))? {
                }
                std::future::pending().await
            }
        });
    let peer = Peer::start(handlers).await;
    let (client, ctx) = (peer.client(), Context::background());
    // Over gRPC the code of a cancel travels once the first response has come.
    soon(client.unary(&ctx, req("", 0))).await.unwrap();
    let down = client.down(&ctx, req("", 0)).await.unwrap();
    assert_eq!(reported.next().await, "begun");
    drop(down);
    assert_eq!(reported.next().await, CANCELED);

    let up = client.up(&ctx).await.unwrap();
    assert_eq!(reported.next().await, "begun");
    drop(up);
    assert_eq!(reported.next().await, CANCELED);
}

/// A Recv that is dropped repeatedly loses no message.
#[tokio::test]
async fn drop_of_a_recv_future_loses_nothing() {
    const MESSAGES: i64 = 2000;
    let peer = Peer::start(Handlers::default()).await;
    let mut down = peer.client().down(&Context::background(), req("", MESSAGES)).await.unwrap();
    let (mut next, mut given_up) = (0, 0);
    loop {
        let received = tokio::select! {
            biased;
            received = down.recv() => received.unwrap(),
            () = tokio::task::yield_now() => {
                given_up += 1;
                continue;
            }
        };
        let Some(received) = received else { break };
        assert_eq!(received.seq, Some(next));
        next += 1;
    }
    assert_eq!(next, MESSAGES);
    assert!(given_up > 0, "nothing was given up, so nothing is shown");
}

/// A Send that is dropped has sent its message entirely or not at all, and the next Send continues after it.
#[tokio::test]
async fn drop_of_a_send_future_sends_whole_or_not_at_all() {
    const MESSAGES: i64 = 200;
    let (go, gone) = watch::channel(false);
    let (reporter, mut reported) = reports();
    let up = move |_, mut stream: kitex::ClientStreamingServer<Req>| {
        let (mut gone, reporter) = (gone.clone(), reporter.clone());
        async move {
            gone.wait_for(|gone| *gone).await.unwrap();
            let mut seqs = Vec::new();
            while let Some(req) = stream.recv().await? {
                assert_eq!(req.payload.map(|payload| payload.len()), Some(100_000));
                seqs.extend(req.seq);
            }
            reporter.send(seqs);
            Ok(resp("", 0))
        }
    };
    let peer = Peer::start(Handlers::default().up(up)).await;
    let mut stream = peer.client().up(&Context::background()).await.unwrap();
    let mut sent = Vec::new();
    for seq in 0..MESSAGES {
        // More than the socket buffers hold, so many of these Sends wait and are dropped.
        let message = Req { seq: Some(seq), ..large(100_000) };
        tokio::select! {
            biased;
            result = stream.send(&message) => {
                result.unwrap();
                sent.push(seq);
            }
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(!sent.is_empty() && sent.len() < 200, "{} of {MESSAGES} were sent", sent.len());
    go.send_replace(true);
    soon(stream.close_and_recv()).await.unwrap();
    assert_eq!(reported.next().await, sent, "what Send said it sent, and nothing else");
}

#[tokio::test]
async fn drop_of_an_opening_leaves_no_stream() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.raw_client(|client| client);
    let echo = EchoClient::new(client.clone());
    let ctx = Context::background();
    for _ in 0..50 {
        assert!(echo.bidi(&ctx).now_or_never().is_none_or(|opened| opened.is_ok()));
        tokio::task::yield_now().await;
    }
    // The connection is still open and works.
    let mut bidi = echo.bidi(&ctx).await.unwrap();
    bidi.send(&req("", 1)).await.unwrap();
    soon(bidi.recv()).await.unwrap();
    drop(bidi);
    crate::fixture::until(|| client.pool_stats().streams == 0).await;
    assert_eq!(client.pool_stats().dials, 1);
}

#[tokio::test]
async fn drop_of_a_client_leaves_its_streams_open() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.client();
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    drop(client);
    for seq in 0..3 {
        bidi.send(&req("", seq)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn split_halves_work_in_two_tasks_and_clones_keep_messages_whole() {
    const SENDERS: i64 = 8;
    const EACH: i64 = 50;
    let peer = Peer::start(Handlers::default()).await;
    let (sender, mut receiver) = peer.client().bidi(&Context::background()).await.unwrap().split();
    let senders = (0..SENDERS).map(|of| {
        let sender = sender.clone();
        tokio::spawn(async move {
            for seq in 0..EACH {
                let message =
                    Req { seq: Some(of * EACH + seq), ..large(usize::try_from(seq).unwrap() * 1000) };
                sender.send(&message).await.unwrap();
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let closing = tokio::spawn(async move {
        for sender in senders {
            soon(sender).await.unwrap();
        }
        sender.close_send();
    });
    let mut last = [-1; 8];
    let mut count = 0;
    while let Some(answer) = soon(receiver.recv()).await.unwrap() {
        let (seq, len) = (answer.seq.unwrap(), answer.payload.unwrap().len());
        let (of, seq) = (usize::try_from(seq / EACH).unwrap(), seq % EACH);
        assert_eq!(len, usize::try_from(seq).unwrap() * 1000, "a message is whole");
        assert!(seq > last[of], "the messages of one sender keep their order");
        last[of] = seq;
        count += 1;
    }
    assert_eq!(count, SENDERS * EACH);
    soon(closing).await.unwrap();
}

/// A handler may return while something else still has its stream.
#[tokio::test]
async fn drop_of_a_stream_after_its_handler_affects_no_other_stream() {
    let (reporter, mut reported) = reports();
    let (keep, mut kept) = mpsc::channel(1);
    let handlers = Handlers::default()
        .down(move |_, _, stream| {
            keep.try_send(stream).unwrap();
            async { Ok(()) }
        })
        .bidi(move |ctx, _stream| until_canceled(ctx, reporter.clone()));
    let peer = Peer::start(handlers).await;
    let client = peer.client();
    let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    let (ctx, canceler) = Context::background().with_cancel();
    let _bidi = client.bidi(&ctx).await.unwrap();
    assert_eq!(reported.next().await, "begun");
    drop(soon(kept.recv()).await);
    canceler.cancel();
    assert_eq!(reported.next().await, "canceled");
}
