//! `max_handlers`, `max_queued`, `max_queue_wait` and `max_qps` of a server: streams and ping-pong calls that wait for a handler
//! or are refused before one begins.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kitex::client::{Retry, RoundRobin, StaticAddresses};
use kitex::server::{OnCancel, ServerBuilder};
use kitex::testing::Network;
use kitex::{Code, Context, Error, ErrorKind, Result, Server};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fixture::echo::EchoServer;
use crate::fixture::{EchoClient, Handlers, LONG, Peer, Req, builder, ended, req, resp, soon, until};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Stream,
    Call,
}

const KINDS: [Kind; 2] = [Kind::Stream, Kind::Call];

/// Handlers that return once the gate is open.
struct Gate {
    /// The numbers of the requests whose handlers have begun.
    begun: Arc<Mutex<Vec<i64>>>,
    open: watch::Sender<bool>,
}

impl Gate {
    fn new() -> Self {
        Self { begun: Arc::default(), open: watch::channel(false).0 }
    }

    fn begun(&self) -> Vec<i64> {
        self.begun.lock().unwrap().clone()
    }

    fn handlers(&self) -> Handlers {
        let enter = |begun: &Arc<Mutex<Vec<i64>>>, open: &watch::Sender<bool>, req: &Req| {
            begun.lock().unwrap().push(req.seq.unwrap());
            let mut open = open.subscribe();
            async move { open.wait_for(|open| *open).await.map(drop).unwrap() }
        };
        let (stream, call) =
            ((self.begun.clone(), self.open.clone()), (self.begun.clone(), self.open.clone()));
        Handlers::default()
            .down(move |_, req, stream_| {
                let entered = enter(&stream.0, &stream.1, &req);
                async move {
                    entered.await;
                    stream_.send(&resp("", 0)).await
                }
            })
            .unary(move |_, req| {
                let entered = enter(&call.0, &call.1, &req);
                async move {
                    entered.await;
                    Ok(resp("", 0))
                }
            })
    }
}

async fn make(kind: Kind, ctx: Context, client: EchoClient, number: i64) -> Result<()> {
    match kind {
        Kind::Stream => {
            let mut down = client.down(&ctx, req("", number)).await?;
            while down.recv().await?.is_some() {}
            Ok(())
        }
        Kind::Call => client.unary(&ctx, req("", number)).await.map(drop),
    }
}

fn spawn(kind: Kind, ctx: &Context, client: &EchoClient, number: i64) -> JoinHandle<Result<()>> {
    tokio::spawn(make(kind, ctx.clone(), client.clone(), number))
}

/// Returns the code of a refusal and the text that names the limit.
fn refusal(result: Result<()>) -> (Option<Code>, String) {
    let error = result.expect_err("it is refused");
    let origin = error.grpc_status().and_then(|status| status.origin());
    let text = error.stream().or(origin).map(|error| error.message().to_owned());
    (error.code(), text.unwrap_or_else(|| error.to_string()))
}

fn refused_with(text: &str) -> (Option<Code>, String) {
    (Some(Code::TOO_MANY_STREAMS), format!("request over limit: {text}"))
}

/// One handler runs, `max_queued` calls wait, the next is refused.
#[tokio::test]
async fn max_queued_calls_wait_in_order_and_the_next_is_refused() {
    for (first, others) in KINDS.into_iter().flat_map(|first| KINDS.map(|others| (first, others))) {
        for (max_queued, text) in [(0, "max_handlers=1"), (2, "max_handlers=1, max_queued=2")] {
            let gate = Gate::new();
            let limits =
                |server: ServerBuilder| server.max_handlers(1).max_queued(max_queued).max_queue_wait(LONG);
            let peer = Peer::with(gate.handlers(), limits).await;
            let client = peer.client_with(|client| client.retry(Retry::none()));
            let ctx = Context::background();
            let mut calls = vec![spawn(first, &ctx, &client, 0)];
            until(|| gate.begun() == [0]).await;
            for number in 1..=max_queued {
                calls.push(spawn(others, &ctx, &client, i64::try_from(number).unwrap()));
                until(|| peer.handle.stats().queued == number).await;
            }
            let refused = soon(make(others, ctx.clone(), client.clone(), 9)).await;
            assert_eq!(refusal(refused), refused_with(text), "{first:?} {others:?}");
            let stats = peer.handle.stats();
            assert_eq!((stats.handlers, stats.queued, stats.refused), (1, max_queued, 1));
            gate.open.send_replace(true);
            for call in calls {
                assert_eq!(ended(&soon(call).await.unwrap()), "ok", "{first:?} {others:?}");
            }
            let all: Vec<i64> = (0..=i64::try_from(max_queued).unwrap()).collect();
            assert_eq!(gate.begun(), all, "{first:?} {others:?}");
            until(|| peer.handle.stats().handlers == 0).await;
        }
    }
}

/// What the connections of a client may run of `max_handlers`.
struct Crowd {
    max_handlers: usize,
    max_queued: usize,
    connections: usize,
    /// The streams of each connection.
    streams: usize,
    runs: usize,
    /// The refusal of what does not run.
    text: &'static str,
    /// The streams or calls of another client that run beside them, of 8.
    others: usize,
}

const CROWDS: [Crowd; 3] = [
    Crowd {
        max_handlers: 1023,
        max_queued: 0,
        connections: 1,
        streams: 1030,
        runs: 1023,
        text: "max_handlers=1023",
        others: 0,
    },
    Crowd {
        max_handlers: 1024,
        max_queued: 0,
        connections: 4,
        streams: 256,
        runs: 960,
        text: "max_handlers=1024, 64 of them for connections that run fewer",
        others: 8,
    },
    Crowd {
        max_handlers: 1024,
        max_queued: 1,
        connections: 4,
        streams: 256,
        runs: 960,
        text: "max_handlers=1024, max_queued=1",
        others: 8,
    },
];

/// Opens streams until as many run, wait and are refused as are opened. Returns those that have not ended.
async fn crowd(peer: &Peer, row: &Crowd) -> Vec<JoinHandle<Result<()>>> {
    let opened = row.connections * row.streams;
    let refused = peer.handle.stats().refused;
    let mut made = Vec::new();
    for _ in 0..row.connections {
        let client = peer.client_with(|client| client.retry(Retry::none()));
        let stream = || spawn(Kind::Stream, &Context::background(), &client, 0);
        made.extend((0..row.streams).map(|_| stream()));
    }
    let refusals = u64::try_from(opened - row.runs - row.max_queued).unwrap();
    until(|| peer.handle.stats().refused - refused == refusals).await;
    until(|| made.iter().filter(|made| made.is_finished()).count() == usize::try_from(refusals).unwrap())
        .await;
    let (ended, running): (Vec<_>, Vec<_>) = made.into_iter().partition(JoinHandle::is_finished);
    for refused in ended {
        assert_eq!(refusal(refused.await.unwrap()), refused_with(row.text));
    }
    running
}

/// One client on many connections leaves a part of the limit to others, and takes it again when its handlers have returned.
#[tokio::test]
async fn max_handlers_reserves_a_sixteenth_for_connections_below_their_share() {
    for (row, kind) in CROWDS.iter().flat_map(|row| KINDS.map(|kind| (row, kind))) {
        let gate = Gate::new();
        let limits = |server: ServerBuilder| {
            let server = server.max_handlers(row.max_handlers).max_concurrent_streams(2048);
            server.max_queued(row.max_queued).max_queue_wait(LONG)
        };
        let peer = Peer::with(gate.handlers(), limits).await;
        for _ in 0..2 {
            let mut made = crowd(&peer, row).await;
            assert_eq!(peer.handle.stats().handlers, row.runs, "{kind:?} {}", row.text);
            let other = peer.client_with(|client| client.retry(Retry::none()));
            for number in 1..=8 {
                let handlers = peer.handle.stats().handlers;
                if handlers == row.runs + row.others {
                    let refused = soon(make(kind, Context::background(), other.clone(), number)).await;
                    assert_eq!(refusal(refused), refused_with(row.text), "{kind:?}");
                    continue;
                }
                made.push(spawn(kind, &Context::background(), &other, number));
                until(|| peer.handle.stats().handlers == handlers + 1).await;
            }
            gate.open.send_replace(true);
            for made in made {
                assert_eq!(ended(&soon(made).await.unwrap()), "ok", "{kind:?} {}", row.text);
            }
            until(|| peer.handle.stats().handlers == 0).await;
            gate.open.send_replace(false);
        }
    }
}

/// Those of connections beyond their share get the handlers that return once the reserve is whole again.
#[tokio::test]
async fn max_queued_calls_take_nothing_of_the_reserve() {
    let row = Crowd { max_queued: 64, ..CROWDS[2] };
    for kind in KINDS {
        let gate = Gate::new();
        let limits = |server: ServerBuilder| {
            let server = server.max_handlers(row.max_handlers).max_queued(row.max_queued);
            server.max_queue_wait(LONG).on_cancel(OnCancel::Drop)
        };
        let peer = Peer::with(gate.handlers(), limits).await;
        let running = crowd(&peer, &row).await;
        let load = || (peer.handle.stats().handlers, peer.handle.stats().queued);
        until(|| load() == (960, 64)).await;
        let other = peer.client_with(|client| client.retry(Retry::none()));
        let others: Vec<_> = (1..=8).map(|at| spawn(kind, &Context::background(), &other, at)).collect();
        until(|| load() == (968, 64)).await;
        // The same again for each that the other client ends.
        others.iter().take(4).for_each(JoinHandle::abort);
        until(|| load() == (964, 64)).await;
        others.iter().for_each(JoinHandle::abort);
        until(|| load() == (960, 64)).await;
        // Nothing is missing now: those that wait are served, all of them.
        gate.open.send_replace(true);
        for made in running {
            assert_eq!(ended(&soon(made).await.unwrap()), "ok", "{kind:?}");
        }
    }
}

/// How the wait for a handler ends.
#[derive(Clone, Copy, Debug)]
enum End {
    QueueWait,
    Cancel,
    Deadline,
}

#[tokio::test]
async fn max_queue_wait_cancel_and_deadline_end_a_call_that_waits_without_a_handler() {
    const SHORT: Duration = Duration::from_millis(50);
    for kind in KINDS {
        for end in [End::QueueWait, End::Cancel, End::Deadline] {
            let gate = Gate::new();
            let wait = if let End::QueueWait = end { SHORT } else { LONG };
            let limits = |server: ServerBuilder| server.max_handlers(1).max_queued(1).max_queue_wait(wait);
            let peer = Peer::with(gate.handlers(), limits).await;
            let client = peer.client_with(|client| client.retry(Retry::none()));
            let first = spawn(kind, &Context::background(), &client, 0);
            until(|| gate.begun() == [0]).await;
            let (ctx, canceler) = Context::background().with_cancel();
            let ctx = if let End::Deadline = end { ctx.with_timeout(SHORT) } else { ctx };
            let waiting = spawn(kind, &ctx, &client, 1);
            if let End::Cancel = end {
                until(|| peer.handle.stats().queued == 1).await;
                canceler.cancel();
            }
            let ended = soon(waiting).await.unwrap();
            match end {
                End::QueueWait => {
                    let text = "no handler was free within max_queue_wait=50ms";
                    assert_eq!(refusal(ended), refused_with(text), "{kind:?}");
                }
                End::Cancel => assert!(ended.is_err_and(|error| error.is_canceled()), "{kind:?}"),
                End::Deadline => assert!(ended.is_err_and(|error| is_timeout(&error)), "{kind:?}"),
            }
            until(|| peer.handle.stats().queued == 0).await;
            gate.open.send_replace(true);
            soon(first).await.unwrap().unwrap();
            // The place that it had is free again.
            soon(make(kind, Context::background(), client, 2)).await.unwrap();
            assert_eq!(gate.begun(), [0, 2], "{kind:?} {end:?}: no handler has begun for it");
        }
    }
}

/// On a busy machine the server may be the first to see that the deadline has passed.
fn is_timeout(error: &Error) -> bool {
    error.kind() == ErrorKind::Timeout || error.code() == Some(Code::STREAM_TIMEOUT)
}

/// On the paused clock.
#[tokio::test(start_paused = true)]
async fn max_qps_refuses_streams_and_calls_and_is_filled_each_100_ms() {
    for kind in KINDS {
        let network = Network::new();
        let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default())).max_qps(20);
        let server = network.serve(server).unwrap();
        let client = network.client("ServiceB").retry(Retry::none()).transport(crate::TRANSPORT);
        let client = EchoClient::new(client.build().unwrap());
        for round in 0..3 {
            for number in 0..4 {
                let made = make(kind, Context::background(), client.clone(), 1).await;
                match number {
                    0 | 1 => assert_eq!(ended(&made), "ok", "{kind:?} {round} {number}"),
                    _ => assert_eq!(refusal(made), refused_with("max_qps=20")),
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut admitted = 0;
        for _ in 0..30 {
            admitted += usize::from(make(kind, Context::background(), client.clone(), 1).await.is_ok());
        }
        assert_eq!(admitted, 20, "{kind:?}: the tokens of one second are kept");
        server.shutdown().await;
    }
}

/// A server of two is full.
#[tokio::test]
async fn streams_and_calls_that_are_refused_move_on_to_another_server() {
    type Limits = fn(ServerBuilder) -> ServerBuilder;
    let rows: [(&str, Limits); 3] = [
        ("max_handlers", |server| server.max_handlers(0)),
        ("max_queue_wait", |server| {
            server.max_handlers(0).max_queued(8).max_queue_wait(Duration::from_millis(1))
        }),
        ("max_qps", |server| server.max_qps(1)),
    ];
    for (name, limits) in rows {
        for kind in KINDS {
            let full = Peer::with(Handlers::default(), limits).await;
            let free = Peer::start(Handlers::default()).await;
            let both = StaticAddresses::new([full.address.clone(), free.address.clone()]);
            let client = builder("").addresses(both).balance(RoundRobin::default());
            let client = EchoClient::new(client.build().unwrap());
            // As many as find no token even on a busy machine.
            let mut number = 0;
            while full.handle.stats().refused < 3 {
                number += 1;
                let made = soon(make(kind, Context::background(), client.clone(), number)).await;
                assert_eq!(ended(&made), "ok", "{name} {kind:?}");
            }
            assert!(client.as_ref().pool_stats().retries >= 3, "{name} {kind:?}");
        }
    }
}

#[tokio::test]
async fn graceful_shutdown_ends_streams_and_calls_that_wait_for_a_handler() {
    for kind in KINDS {
        let gate = Gate::new();
        let limits = |server: ServerBuilder| {
            let server = server.max_handlers(1).max_queued(1).max_queue_wait(LONG);
            server.exit_wait(Duration::from_millis(50)).on_cancel(OnCancel::Drop)
        };
        let peer = Peer::with(gate.handlers(), limits).await;
        let client = peer.client_with(|client| client.retry(Retry::none()));
        let calls = [0, 1].map(|number| (number, client.clone()));
        let mut made = Vec::new();
        for (number, client) in calls {
            made.push(spawn(kind, &Context::background(), &client, number));
            until(|| peer.handle.stats().handlers + peer.handle.stats().queued > made.len() - 1).await;
        }
        peer.shut_down().await;
        for call in made {
            assert!(soon(call).await.unwrap().is_err(), "{kind:?}");
        }
        assert_eq!(gate.begun(), [0], "{kind:?}");
    }
}
