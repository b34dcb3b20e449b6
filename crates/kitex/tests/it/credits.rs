//! Flow control by credits between two ends that have it on: a slow consumer holds up its own stream alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use kitex::server::ConnectionConfig;
use kitex::{BidiStreamingClient, Context, MessageReceiver, MessageSender};

use crate::fixture::{
    EchoClient, Handlers, Peer, Reports, Req, Resp, answer, flood, large, reports, req, resp, soon, until,
};
use crate::slow_consumers::takes_nothing;

/// What one of these messages counts for is what it takes.
const MESSAGE: usize = 64 * 1024;

fn credits() -> ConnectionConfig {
    ConnectionConfig::default().flow_credits(true)
}

/// Returns a server, and a client on a connection with credits.
async fn agreed(handlers: Handlers, config: ConnectionConfig) -> (Peer, EchoClient) {
    let peer = Peer::with(handlers, |server| server.connection(config.clone())).await;
    let client = peer.client_with(|client| client.connection(config));
    // The server's answer to the offer comes before the first response, and the client's before the second request.
    let mut stream = open(&client).await;
    stream.send(&req("", 1)).await.unwrap();
    soon(stream.recv()).await.unwrap().unwrap();
    stream.send(&req("", 1)).await.unwrap();
    (peer, client)
}

async fn open(client: &EchoClient) -> BidiStreamingClient<Req, Resp> {
    client.bidi(&Context::background()).await.unwrap()
}

async fn echo(stream: &mut BidiStreamingClient<Req, Resp>) {
    stream.send(&req("", 1)).await.unwrap();
    assert_eq!(soon(stream.recv()).await.unwrap().unwrap().seq, Some(1));
}

/// Longer than a connection without credits is paused, before a slow consumer loses its stream.
const PAUSE: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn flow_credits_let_slow_consumers_hold_up_no_other_stream() {
    for slow in [1, 20] {
        let (reporter, mut reported) = reports();
        let (_peer, client) = agreed(flood(reporter), credits()).await;
        let mut others = Vec::new();
        for _ in 0..50 {
            others.push(open(&client).await);
        }
        let mut consumers = Vec::new();
        for _ in 0..slow {
            consumers.push(client.down(&Context::background(), req("", 0)).await.unwrap());
        }
        for _ in 0..3 {
            for other in &mut others {
                echo(other).await;
            }
            tokio::time::sleep(PAUSE / 3).await;
            for consumer in &mut consumers {
                assert!(soon(consumer.recv()).await.unwrap().is_some());
            }
        }
        assert!(reported.waiting().is_empty(), "no stream has ended");
        for consumer in &mut consumers {
            for _ in 0..1000 {
                assert!(soon(consumer.recv()).await.unwrap().is_some());
            }
        }
    }
}

/// Sends in the background; returns the number of messages that Send has taken.
fn fill(sender: MessageSender<Req>) -> Arc<AtomicUsize> {
    let sent = Arc::<AtomicUsize>::default();
    let count = sent.clone();
    tokio::spawn(async move {
        while sender.send(&large(MESSAGE)).await.is_ok() {
            count.fetch_add(1, Relaxed);
        }
    });
    sent
}

/// Opens a stream to a handler that takes nothing, and sends until Send waits.
async fn saturate(client: &EchoClient, ctx: &Context) -> (MessageReceiver<Resp>, Arc<AtomicUsize>) {
    let stream = client.bidi(ctx).await.unwrap();
    let (sender, mut receiver) = stream.split();
    soon(receiver.recv()).await.unwrap().unwrap();
    let sent = fill(sender);
    until(|| sent.load(Relaxed) >= 1024 * 1024 / (MESSAGE + 100)).await;
    (receiver, sent)
}

#[tokio::test]
async fn flow_credits_let_a_cancel_pass_streams_that_are_not_taken() {
    let (reporter, mut reported): (_, Reports<String>) = reports();
    let (_peer, client) = agreed(takes_nothing(reporter), credits()).await;
    assert_eq!(reported.next().await, "12007 server ServiceA", "the first stream, which was dropped");
    let mut saturated = Vec::new();
    for _ in 0..3 {
        let (ctx, canceler) = Context::background().with_cancel();
        saturated.push((saturate(&client, &ctx).await, canceler));
    }
    // The last one first: the others stay as they are.
    while let Some(((_receiver, sent), canceler)) = saturated.pop() {
        canceler.cancel();
        assert_eq!(reported.next().await, "12007 server ServiceA");
        assert!(sent.load(Relaxed) <= 17, "its window, and one message");
    }
}

#[tokio::test]
async fn flow_credits_let_both_ends_send_10_mb_before_they_receive() {
    const MESSAGES: i64 = 160;
    let window = 12 * 1024 * 1024;
    let config = credits().stream_receive_window(window).receive_window(5 * window);
    let handlers = Handlers::default().bidi(|_, mut stream| async move {
        for seq in 0..MESSAGES {
            stream.send(&Resp { seq: Some(seq), ..answer(large(MESSAGE)) }).await?;
        }
        let mut received = 0;
        while stream.recv().await?.is_some() {
            received += 1;
        }
        stream.send(&resp("received", received)).await
    });
    let (_peer, client) = agreed(handlers, config).await;
    let mut stream = open(&client).await;
    for _ in 0..MESSAGES {
        soon(stream.send(&large(MESSAGE))).await.unwrap();
    }
    stream.close_send();
    for seq in (0..MESSAGES).chain([MESSAGES]) {
        let message = soon(stream.recv()).await.unwrap().unwrap();
        assert_eq!(message.seq, Some(seq));
    }
    assert!(soon(stream.recv()).await.unwrap().is_none());
}
