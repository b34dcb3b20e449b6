//! What is dropped: a stream in each state, one of its halves, the future of a Send or a Recv, a client,
//! a server. A drop is a cancel, never a clean end, and loses nothing that was done.

use futures_util::FutureExt;
use kitex::{BidiStreamingClient, Context, Error, Result};
use tokio::sync::watch;

use crate::fixture::{
    EchoClient, Handlers, Peer, Reports, Req, Resp, Tell, brief, ended, large, reports, req, resp, soon,
};

/// A handler that answers each request, and tells how the requests ended.
async fn echo(
    ctx: Context,
    mut stream: kitex::BidiStreamingServer<Req, Resp>,
    tell: Tell<String>,
) -> Result<()> {
    loop {
        match stream.recv().await {
            Ok(Some(req)) => stream.send(&crate::fixture::answer(req)).await?,
            Ok(None) => {
                tell.tell("end of requests".to_owned());
                break stream.send(&resp("end", 0)).await?;
            }
            Err(error) => {
                tell.tell(brief(&error));
                return Err(error);
            }
        }
    }
    let error = Error::from(ctx.canceled().await);
    tell.tell(brief(&error));
    Err(error)
}

async fn echoing() -> (Peer, Reports<String>) {
    let (tell, told) = reports();
    let peer =
        Peer::start(Handlers::default().bidi(move |ctx, stream| echo(ctx, stream, tell.clone()))).await;
    (peer, told)
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
async fn a_stream_that_is_dropped_in_any_state_is_canceled() {
    let (peer, mut told) = echoing().await;
    let client = peer.client();
    for (state, act, expected) in ROWS {
        // Behind another stream's frames, so that the order of the connection is that of the test.
        let stream = client.bidi(&Context::background()).await.unwrap();
        act(stream).await;
        for word in *expected {
            assert_eq!(told.next().await, *word, "{state}");
        }
    }
}

#[tokio::test]
async fn a_sender_that_is_dropped_after_it_closed_cancels_nothing() {
    let peer = Peer::start(Handlers::default()).await;
    let (sender, mut receiver) = peer.client().bidi(&Context::background()).await.unwrap().split();
    sender.send(&req("", 1)).await.unwrap();
    sender.close_send();
    drop(sender);
    assert_eq!(soon(receiver.recv()).await.unwrap().unwrap().seq, Some(1));
    assert_eq!(soon(receiver.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_that_has_ended_is_not_canceled_by_its_drop() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().down(move |ctx, req, stream| {
        let (tell, inner) = (tell.clone(), ctx.clone());
        async move {
            // Sees what the context ends with, after the handler has.
            tokio::spawn(async move { tell.tell(inner.canceled().await.to_string()) });
            stream.send(&resp("", req.seq.unwrap_or_default())).await
        }
    });
    let peer = Peer::start(handlers).await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    drop(down);
    assert!(told.next().await.contains("code=12012"), "the handler had returned");
}

#[tokio::test]
async fn the_other_two_kinds_of_stream_are_canceled_by_their_drop_too() {
    let (tell, mut told) = reports();
    let of_up = tell.clone();
    let handlers = Handlers::default()
        .down(move |ctx, _, _| {
            let tell = tell.clone();
            async move {
                tell.tell("begun".to_owned());
                tell.tell(brief(&ctx.canceled().await.into()));
                Ok(())
            }
        })
        .up(move |_, mut stream| {
            let tell = of_up.clone();
            async move {
                tell.tell("begun".to_owned());
                while let Some(_req) = stream.recv().await.inspect_err(|error| tell.tell(brief(error)))? {}
                std::future::pending().await
            }
        });
    let peer = Peer::start(handlers).await;
    let (client, ctx) = (peer.client(), Context::background());
    let down = client.down(&ctx, req("", 0)).await.unwrap();
    assert_eq!(told.next().await, "begun");
    drop(down);
    assert_eq!(told.next().await, CANCELED);

    let up = client.up(&ctx).await.unwrap();
    assert_eq!(told.next().await, "begun");
    drop(up);
    assert_eq!(told.next().await, CANCELED);
}

/// A Recv that is given up again and again takes no message along.
#[tokio::test]
async fn a_dropped_recv_loses_nothing() {
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

/// A Send that is given up has sent its message whole or not at all, and the next goes on behind it.
#[tokio::test]
async fn a_dropped_send_sends_whole_or_not_at_all() {
    const MESSAGES: i64 = 200;
    let (go, gone) = watch::channel(false);
    let (tell, mut told) = reports();
    let up = move |_, mut stream: kitex::ClientStreamingServer<Req>| {
        let (mut gone, tell) = (gone.clone(), tell.clone());
        async move {
            gone.wait_for(|gone| *gone).await.unwrap();
            let mut seqs = Vec::new();
            while let Some(req) = stream.recv().await? {
                assert_eq!(req.payload.map(|payload| payload.len()), Some(100_000));
                seqs.extend(req.seq);
            }
            tell.tell(seqs);
            Ok(resp("", 0))
        }
    };
    let peer = Peer::start(Handlers::default().up(up)).await;
    let mut stream = peer.client().up(&Context::background()).await.unwrap();
    let mut sent = Vec::new();
    for seq in 0..MESSAGES {
        // More than the socket takes, so many of these wait, and are given up.
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
    assert_eq!(told.next().await, sent, "what Send said it sent, and nothing else");
}

#[tokio::test]
async fn an_opening_that_is_given_up_leaves_no_stream() {
    let peer = Peer::start(Handlers::default()).await;
    let client = peer.raw_client(|client| client);
    let echo = EchoClient::new(client.clone());
    let ctx = Context::background();
    for _ in 0..50 {
        assert!(echo.bidi(&ctx).now_or_never().is_none_or(|opened| opened.is_ok()));
        tokio::task::yield_now().await;
    }
    // The connection stands, and is good.
    let mut bidi = echo.bidi(&ctx).await.unwrap();
    bidi.send(&req("", 1)).await.unwrap();
    soon(bidi.recv()).await.unwrap();
    drop(bidi);
    crate::fixture::until(|| client.pool_stats().streams == 0).await;
    assert_eq!(client.pool_stats().dials, 1);
}

#[tokio::test]
async fn a_client_that_is_dropped_leaves_its_streams_alone() {
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
async fn halves_go_to_two_tasks_and_clones_keep_messages_whole() {
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
