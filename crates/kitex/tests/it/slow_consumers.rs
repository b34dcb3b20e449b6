//! Slow consumers on a shared connection: they lose their own stream, and hold up the others for a bounded time. What a
//! connection that flow control pauses still sees of its peer.

use std::time::{Duration, Instant};

use kitex::client::{ConnectionConfig, PoolKind};
use kitex::testing::Network;
use kitex::{ApplicationException, BidiStreamingClient, Context, Server, ServerStreamingClient};
use ttheader_codec::FrameType::{Data, Header, Rst};
use ttheader_codec::key;

use crate::fixture::echo::EchoServer;
use crate::fixture::{
    EchoClient, Handlers, Peer, Reporter, Reports, Req, Resp, Wire, brief, flood, frame_of, reports, req,
    soon,
};

/// A server that sends as fast as it can, and why it stops.
async fn flooding() -> (Peer, Reports<String>) {
    let (reporter, reported) = reports();
    (Peer::start(flood(reporter)).await, reported)
}

async fn open(client: &EchoClient) -> BidiStreamingClient<Req, Resp> {
    client.bidi(&Context::background()).await.unwrap()
}

async fn echo(stream: &mut BidiStreamingClient<Req, Resp>) {
    stream.send(&req("", 1)).await.unwrap();
    assert_eq!(soon(stream.recv()).await.unwrap().unwrap().seq, Some(1));
}

async fn take(mut stream: ServerStreamingClient<Resp>, messages: usize, every: Duration) -> String {
    loop {
        for _ in 0..messages {
            if let Err(error) = soon(stream.recv()).await {
                return brief(&error);
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// The messages that a consumer takes at once, and the milliseconds between. The last two are users of a relay at 1 MB/s.
const CONSUMERS: &[(&str, usize, u64)] =
    &[("a message in 400 ms", 1, 400), ("1 MB/s", 1, 10), ("1 MB/s in portions", 25, 250)];

#[tokio::test]
async fn slow_consumer_that_makes_some_progress_loses_its_stream_too() {
    for &(name, messages, every) in CONSUMERS {
        let (peer, mut reported) = flooding().await;
        let client = peer.client();
        let mut other = open(&client).await;
        let slow = client.down(&Context::background(), req("", 0)).await.unwrap();
        let began = Instant::now();
        let slow = tokio::spawn(take(slow, messages, Duration::from_millis(every)));
        assert_eq!(reported.next().await, "12901 server ServiceA", "{name}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{name}: {took:?}");
        echo(&mut other).await;
        println!("{name}: ended after {took:?}");
        slow.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn slow_consumers_that_are_many_cost_others_no_more_than_a_few() {
    const DEAD: usize = 20;
    let (reporter, mut reported) = reports();
    let network = Network::new();
    let server = Server::builder("ServiceB").service(EchoServer::new(flood(reporter)));
    let _server = network.serve(server).unwrap();
    let client = network.client("ServiceB").caller("ServiceA").pool(PoolKind::Mux(1));
    let client = EchoClient::new(client.build().unwrap());
    let mut others = Vec::new();
    for _ in 0..50 {
        others.push(open(&client).await);
    }
    let mut dead = Vec::new();
    for _ in 0..DEAD {
        dead.push(client.down(&Context::background(), req("", 0)).await.unwrap());
    }
    let began = tokio::time::Instant::now();
    for other in &mut others {
        echo(other).await;
    }
    for _ in 0..DEAD {
        assert_eq!(reported.next().await, "12901 server ServiceA");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}: not half a second for each");
    for other in &mut others {
        echo(other).await;
    }
    drop(dead);
    println!("twenty ended, and fifty served, after {took:?}");
}

/// The fastest consumers are not slow, though their connection is paused again and again.
#[tokio::test]
async fn slow_consumer_timeout_spares_a_consumer_that_is_slower_than_its_sender() {
    let (peer, mut reported) = flooding().await;
    // Far less than it is paused in all, and more than a slow machine stands still.
    let mut config = ConnectionConfig::default();
    config.slow_consumer_timeout = Duration::from_secs(2);
    let client = peer.client_with(|client| client.connection(config));
    let mut other = open(&client).await;
    let mut stream = client.down(&Context::background(), req("", 0)).await.unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        assert!(soon(stream.recv()).await.unwrap().is_some());
    }
    echo(&mut other).await;
    assert!(reported.waiting().is_empty());
}

/// Handlers of Bidi that take nothing until they are canceled.
pub(crate) fn takes_nothing(reporter: Reporter<String>) -> Handlers {
    Handlers::default().bidi(move |ctx, stream| {
        let reporter = reporter.clone();
        async move {
            stream.send(&Resp::default()).await?;
            let error = kitex::Error::from(ctx.canceled().await);
            reporter.send(brief(&error));
            Err(error)
        }
    })
}

/// How a client ends that has sent more than the handler's stream takes; the error of the handler.
type End = fn(&mut Wire);

fn finish(_: &mut Wire) {}

fn reset(wire: &mut Wire) {
    wire.reset_on_drop();
}

const ENDS: &[(&str, bool, End, &str)] = &[
    ("an Rst, then the end of the connection", true, finish, "12007 server user"),
    ("the end of the connection", false, finish, "12013 nowhere"),
    ("a reset of the connection", false, reset, "12013 nowhere"),
];

/// The time for a slow consumer that is alone on its connection is 30 s.
#[tokio::test]
async fn connection_that_flow_control_pauses_sees_the_end_of_its_peer() {
    for &(name, rst, end, expected) in ENDS {
        let (reporter, mut reported) = reports();
        let peer = Peer::start(takes_nothing(reporter)).await;
        let mut wire = Wire::dial(&peer.address).await;
        wire.frame_of(1, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
        wire.next_of(Data).await;
        // 1 MiB fills the window; the rest waits in the sockets.
        wire.bytes(&frame_of(1, "Bidi", Data, &[], &vec![7; 1024 * 1024])).await;
        for _ in 0..5 {
            wire.bytes(&frame_of(1, "Bidi", Data, &[], &vec![7; 10_000])).await;
        }
        if rst {
            let exception = ApplicationException::new(12007, "a cancel").encode("Bidi", 1);
            wire.frame_of(1, "Bidi", Rst, &[(key::CANCEL_PATH, b"user")], &exception).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(reported.waiting().is_empty(), "{name}: the connection is paused");
        let began = Instant::now();
        end(&mut wire);
        drop(wire);
        assert_eq!(reported.next().await, expected, "{name}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
    }
}
