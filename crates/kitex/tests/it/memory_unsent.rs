//! What the memory budget counts beside messages that were received and not taken, by each transport: header lists of running handlers, and what
//! waits to be written because a client does not read. In virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kitex::client::{ClientBuilder, ConnectionConfig, GrpcConfig, PoolKind, Retry, Transport};
use kitex::testing::{Network, TestServer};
use kitex::{Code, Context, Error, MemoryBudget, Server, ServerStreamingClient};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, Resp, brief, large, req, soon, until};

const TRANSPORTS: [Transport; 2] = [Transport::TtHeader, Transport::Grpc];
const LIMIT: usize = 10_000_000;
const MESSAGE: usize = 1_000_000;
/// The time after which a connection is measured.
const MEASURED: Duration = Duration::from_millis(300);

/// A server whose handlers send messages, one more once the gate is open, and then return or wait for their cancel.
struct Sender {
    server: TestServer,
    network: Network,
    budget: MemoryBudget,
    gate: watch::Sender<bool>,
    /// What handlers were ended with.
    ends: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Then {
    Return,
    Wait,
}

/// The messages of a stream of which the server holds one: by TTHeader a client takes one that is larger than its window.
fn until_held(transport: Transport) -> usize {
    if let Transport::Grpc = transport { 1 } else { 2 }
}

fn sender(messages: usize, then: Then) -> Sender {
    let (gate, opened) = watch::channel(false);
    let ends = Arc::<Mutex<Vec<_>>>::default();
    let ended = ends.clone();
    let handlers = Handlers::default().down(move |ctx, _, stream| {
        let (mut opened, ended) = (opened.clone(), ended.clone());
        async move {
            let message = Resp { payload: large(MESSAGE).payload, ..Resp::default() };
            for _ in 0..messages {
                stream.send(&message).await?;
            }
            let _ = opened.wait_for(|open| *open).await;
            stream.send(&message).await?;
            if let Then::Return = then {
                return Ok(());
            }
            let error = Error::from(ctx.canceled().await);
            ended.lock().unwrap().push(brief(&error));
            Err(error)
        }
    });
    let (network, budget) = (Network::new(), MemoryBudget::new(LIMIT));
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers));
    let server = network.serve(server.memory_budget(budget.clone())).unwrap();
    Sender { server, network, budget, gate, ends }
}

fn build(client: ClientBuilder) -> EchoClient {
    EchoClient::new(client.retry(Retry::none()).memory_budget(MemoryBudget::unlimited()).build().unwrap())
}

/// A client on a connection of its own, of which little is in flight.
fn client(network: &Network, transport: Transport) -> EchoClient {
    let mut config = ConnectionConfig::default();
    config.stream_receive_window = 64 * 1024;
    let grpc = GrpcConfig::default().stream_receive_window(64 * 1024);
    let client = network.client("ServiceB").pool(PoolKind::Mux(1)).transport(transport);
    build(client.connection(config).grpc(grpc))
}

/// Opens a stream whose messages are not taken.
async fn unread(client: &EchoClient) -> ServerStreamingClient<Resp> {
    let stream = client.down(&Context::background(), req("", 0)).await.unwrap();
    sleep(MEASURED).await;
    stream
}

fn assert_refused(error: &Error, row: Transport) {
    assert_eq!(error.code(), Some(Code::TOO_MANY_STREAMS), "{row:?}: {error}");
}

#[tokio::test(start_paused = true)]
async fn memory_budget_counts_header_lists_of_running_handlers() {
    for transport in TRANSPORTS {
        let Sender { server, network, budget, .. } = sender(0, Then::Wait);
        let client = client(&network, transport);
        let ctx = Context::background();
        let ctx = ["a", "b"].into_iter().fold(ctx, |ctx, key| ctx.with_persistent(key, "v".repeat(50_000)));
        let mut streams = Vec::new();
        let error = loop {
            assert!(streams.len() < 100, "{transport:?}: never refused, {} are used", budget.used());
            let mut stream = client.bidi(&ctx).await.unwrap();
            stream.send(&req("", 1)).await.unwrap();
            match soon(stream.recv()).await {
                Ok(_) => streams.push(stream),
                Err(error) => break error,
            }
            sleep(MEASURED).await;
        };
        assert_refused(&error, transport);
        assert!((75..=80).contains(&streams.len()), "{transport:?}: {}", streams.len());
        drop(streams);
        until(|| budget.used() < 100_000).await;
        server.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn memory_budget_counts_what_waits_to_be_written_until_streams_are_refused() {
    for transport in TRANSPORTS {
        let messages = until_held(transport);
        let Sender { server, network, budget, gate: _closed, .. } = sender(messages, Then::Wait);
        let mut streams = Vec::new();
        while server.handle().stats().refused == 0 {
            assert!(streams.len() < 20, "{transport:?}: never refused, {} are used", budget.used());
            let client = client(&network, transport);
            streams.push((unread(&client).await, client));
        }
        assert_eq!(streams.len(), 9, "{transport:?}");
        let (mut refused, _) = streams.pop().unwrap();
        assert_refused(&soon(refused.recv()).await.unwrap_err(), transport);
        // What is read is free.
        for (stream, _) in &mut streams {
            for _ in 0..messages {
                assert!(soon(stream.recv()).await.unwrap().is_some(), "{transport:?}");
            }
        }
        until(|| budget.used() < LIMIT / 10).await;
        let client = client(&network, transport);
        assert!(soon(unread(&client).await.recv()).await.unwrap().is_some(), "{transport:?}");
        server.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn memory_budget_ends_streams_whose_messages_are_not_read() {
    // Over TTHeader a message of this size is part of the next write, and of no stream.
    for (transport, code) in [(Transport::TtHeader, "12013 nowhere"), (Transport::Grpc, "12901 server")] {
        let messages = until_held(transport);
        let Sender { server, network, budget, gate, ends } = sender(messages, Then::Wait);
        let mut streams = Vec::new();
        for _ in 0..7 {
            let client = client(&network, transport);
            streams.push((unread(&client).await, client));
        }
        assert!(budget.used() > 7 * MESSAGE - 100_000, "{transport:?}: {}", budget.used());
        gate.send_replace(true);
        until(|| ends.lock().unwrap().len() == 3).await;
        sleep(MEASURED).await;
        let ends = ends.lock().unwrap().clone();
        assert_eq!(ends, [code; 3], "{transport:?}");
        assert!(budget.used() < LIMIT / 100 * 95, "{transport:?}: {}", budget.used());
        let mut read = 0;
        for (stream, _) in &mut streams {
            let mut taken = 0;
            while taken <= messages && soon(stream.recv()).await.is_ok() {
                taken += 1;
            }
            read += usize::from(taken > messages);
        }
        assert_eq!(read, 4, "{transport:?}: the others lose nothing");
        server.shutdown().await;
    }
}

/// Nothing is left that could be ended but the connection.
#[tokio::test(start_paused = true)]
async fn memory_budget_closes_a_grpc_connection_that_does_not_read_what_handlers_have_left() {
    let Sender { server, network, budget, gate, .. } = sender(0, Then::Return);
    let (hostile, other) = (client(&network, Transport::Grpc), client(&network, Transport::Grpc));
    let mut echo = other.bidi(&Context::background()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(unread(&hostile).await);
    }
    gate.send_replace(true);
    until(|| server.handle().stats().handlers == 1).await;
    sleep(MEASURED).await;
    until(|| budget.used() < LIMIT / 10).await;
    for stream in &mut streams {
        assert!(soon(stream.recv()).await.is_err());
    }
    echo.send(&req("", 1)).await.unwrap();
    assert_eq!(soon(echo.recv()).await.unwrap().unwrap().seq, Some(1));
    server.shutdown().await;
}
