//! One of several server processes is killed under a client of all of them.

use std::sync::Arc;
use std::time::Duration;

use interop::lab::{LabClient, Req, Resp};
use kitex::client::{PoolKind, StaticAddresses, Transport};
use kitex::{BidiStreamingClient, Client, Context};
use tokio::task::JoinSet;

use crate::local::{ends, request};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, go_is_here};

const STREAMS: usize = 400;

type Stream = BidiStreamingClient<Req, Resp>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_of_one_server_of_four_costs_its_own_streams_alone() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        check(Rust, transport).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_of_one_kitex_server_of_four_costs_its_own_streams_alone() {
    if !go_is_here() {
        return;
    }
    for transport in [Transport::TtHeader, Transport::Grpc] {
        check(Go, transport).await;
    }
}

async fn check(peer: Peer, transport: Transport) {
    let (mut servers, addresses): (Vec<_>, Vec<_>) = (0..4).map(|_| Process::serve(peer, "")).unzip();
    let client = Client::builder("ServiceB").caller("ServiceA").addresses(StaticAddresses::new(&addresses));
    let client = client.transport(transport).pool(PoolKind::Mux(2)).build().expect("the addresses are good");
    let client = LabClient::new(client);
    let mut streams = Vec::new();
    for address in &addresses {
        let at = client.with_options(|options| options.address = Some(address.as_str().into()));
        streams.extend(open(&at, 1).await);
    }
    streams.extend(open(&client, STREAMS - addresses.len()).await);
    ping(&client).await;

    servers.remove(0).kill();
    // All at once: a stream of the killed server ends, each other one goes on.
    let echoes: JoinSet<_> = streams.into_iter().map(echo).collect();
    let echoed = ends("the echo of each stream", echoes.join_all()).await;
    let mut left: Vec<_> = echoed.into_iter().flatten().collect();
    let lost = STREAMS - left.len();
    assert!((1..STREAMS).contains(&lost), "{peer:?} {transport:?}: {lost} streams are lost");
    // No later call fails.
    ping(&client).await;
    left.extend(open(&client, STREAMS).await);

    // A handler prints its end: those of the streams that are left do so now, and no other has.
    assert_eq!(handlers(&servers), 0, "{peer:?} {transport:?}: {servers:?}");
    let expected = left.len();
    for mut stream in left {
        stream.close_send();
        let end = ends("a stream", stream.recv()).await.expect("a clean end");
        assert_eq!(end, None, "{peer:?} {transport:?}");
    }
    ends("each handler", async {
        while handlers(&servers) < expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(handlers(&servers), expected, "{peer:?} {transport:?}");
}

/// Returns how many handlers of streams have ended, each without an error.
fn handlers(servers: &[Process]) -> usize {
    let ended = |server: &Process| {
        server.find("its lines", |lines| {
            let of_handlers = lines.iter().filter(|line| line["ev"] == "server");
            let errors: Vec<_> = of_handlers.clone().filter(|line| line["err"] != "").collect();
            assert!(errors.is_empty(), "{errors:?}");
            Some(of_handlers.count())
        })
    };
    servers.iter().map(ended).sum()
}

/// Opens streams at the same time, each with one message each way.
async fn open(client: &LabClient, count: usize) -> Vec<Stream> {
    let client = Arc::new(client.clone());
    let opening = (0..count).map(|_| {
        let client = client.clone();
        async move {
            let stream = client.bidi(&Context::background()).await.expect("a server takes it");
            echo(stream).await.expect("a server serves it")
        }
    });
    ends("each stream", opening.collect::<JoinSet<_>>().join_all()).await
}

/// Makes ping-pong calls at the same time.
async fn ping(client: &LabClient) {
    let calls = (0..STREAMS).map(|_| {
        let client = client.clone();
        async move { drop(client.ping(&Context::background(), request("")).await.expect("a server answers")) }
    });
    ends("each call", calls.collect::<JoinSet<_>>().join_all()).await;
}

/// Sends a message and receives it; `None` if the stream has ended with an error.
async fn echo(mut stream: Stream) -> Option<Stream> {
    stream.send(&request("hello")).await.ok()?;
    let echoed = stream.recv().await.ok()?;
    assert_eq!(echoed.expect("it does not end cleanly").msg.as_deref(), Some("hello"));
    Some(stream)
}
