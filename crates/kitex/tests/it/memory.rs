//! The memory budget of a process, through the public builders, by each transport: what is refused, and what ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kitex::client::{ConnectionConfig, GrpcConfig, PoolKind, Retry, RoundRobin, StaticAddresses, Transport};
use kitex::{BidiStreamingClient, Code, Context, Error, MemoryBudget};
use tokio::sync::watch;

use crate::fixture::{
    EchoClient, Handlers, Peer, Req, Resp, answer, brief, builder, large, req, soon, until,
};

const MB: usize = 1024 * 1024;
const LIMIT: usize = 10_000_000;
const NEVER: Duration = Duration::from_secs(3600);
const TRANSPORTS: [Transport; 2] = [Transport::TtHeader, Transport::Grpc];
/// Each transport, and whether flow control is by credits.
const FLOWS: [(Transport, bool); 3] =
    [(Transport::TtHeader, false), (Transport::TtHeader, true), (Transport::Grpc, false)];

/// Bytes of a message.
const MESSAGE: usize = 50_000;
/// The messages of each stream, which are not taken. All of them are more than 95 % of 4 MiB, and without the last less.
const PLAN: [usize; 7] = [16, 16, 16, 16, 8, 5, 5];
const LARGE: usize = 4;

/// No other limit than the budget.
fn patient(credits: bool) -> (ConnectionConfig, GrpcConfig) {
    let mut config = ConnectionConfig::default().flow_credits(credits);
    config.slow_consumer_timeout = NEVER;
    config.slow_consumer_timeout_exclusive = NEVER;
    (config, GrpcConfig::default().stream_receive_window(1024 * 1024))
}

/// A server whose handlers answer a first message, take no more before `gate` is opened, and then count the rest; and the
/// streams, by the number of that message, that ended before, with their errors.
struct Slow {
    peer: Peer,
    gate: watch::Sender<bool>,
    ends: Arc<Mutex<Vec<(i64, String)>>>,
}

async fn slow_server(budget: &MemoryBudget, credits: bool) -> Slow {
    let (gate, opened) = watch::channel(false);
    let ends = Arc::<Mutex<Vec<_>>>::default();
    let ended = ends.clone();
    let handlers = Handlers::default().bidi(move |ctx, mut stream| {
        let (mut opened, ended) = (opened.clone(), ended.clone());
        async move {
            let Some(first) = stream.recv().await? else { return Ok(()) };
            let number = first.seq.unwrap_or_default();
            stream.send(&answer(first)).await?;
            tokio::select! {
                _ = opened.wait_for(|open| *open) => {}
                reason = ctx.canceled() => {
                    let error = reason.into();
                    ended.lock().unwrap().push((number, brief(&error)));
                    return Err(error);
                }
            }
            let mut count = 0;
            while stream.recv().await?.is_some() {
                count += 1;
            }
            stream.send(&Resp { seq: Some(count), ..Resp::default() }).await
        }
    });
    let (config, grpc) = patient(credits);
    let budget = budget.clone();
    let peer =
        Peer::with(handlers, |server| server.connection(config).grpc(grpc).memory_budget(budget)).await;
    Slow { peer, gate, ends }
}

/// A client with a connection of its own, which no budget limits.
fn client(peer: &Peer, transport: Transport, credits: bool) -> EchoClient {
    peer.client_with(|client| {
        let client = client.transport(transport).connection(patient(credits).0);
        client.retry(Retry::none()).memory_budget(MemoryBudget::unlimited())
    })
}

/// A stream whose handler has answered a first message.
async fn open(client: &EchoClient, seq: i64) -> BidiStreamingClient<Req, Resp> {
    let mut stream = client.bidi(&Context::background()).await.unwrap();
    stream.send(&req("", seq)).await.unwrap();
    assert_eq!(soon(stream.recv()).await.unwrap().unwrap().seq, Some(seq));
    stream
}

/// Sends messages, and waits until the budget has counted them.
async fn fill(stream: &BidiStreamingClient<Req, Resp>, messages: usize, budget: &MemoryBudget) {
    let before = budget.used();
    for _ in 0..messages {
        stream.send(&large(MESSAGE)).await.unwrap();
    }
    until(|| budget.used() + 20_000 >= before + messages * MESSAGE).await;
}

/// Returns the text of a refusal.
fn refusal(error: &Error) -> String {
    assert_eq!(error.code(), Some(Code::TOO_MANY_STREAMS), "{error}");
    let origin = error.grpc_status().and_then(|status| status.origin());
    error.stream().or(origin).map(|error| error.message().to_owned()).unwrap()
}

#[tokio::test]
async fn memory_budget_refuses_streams_and_connections_until_messages_are_taken() {
    for transport in TRANSPORTS {
        let budget = MemoryBudget::new(LIMIT);
        let Slow { peer, gate, .. } = slow_server(&budget, false).await;
        let ctx = Context::background();
        let mut streams = Vec::new();
        for seq in 0..11 {
            let client = client(&peer, transport, false);
            let stream = open(&client, seq).await;
            fill(&stream, 16, &budget).await;
            streams.push((client, stream, 16));
        }
        // 87 % are held: streams are refused, over a connection that is open, and over a new one.
        for client in [streams[0].0.clone(), client(&peer, transport, false)] {
            let mut more = client.bidi(&ctx).await.unwrap();
            let error = soon(more.recv()).await.unwrap_err();
            assert_eq!(refusal(&error), "request over limit: memory_budget=10000000", "{transport:?}");
        }
        // 90 %: connections too, and windows are smaller, so that nothing is sent on the other streams.
        for (_, stream, messages) in &mut streams {
            if budget.used() < LIMIT / 10 * 9 {
                fill(stream, 1, &budget).await;
                *messages += 1;
            }
        }
        let unopened = client(&peer, transport, false);
        let never = async {
            let mut stream = unopened.bidi(&ctx).await?;
            stream.send(&req("", 0)).await?;
            stream.recv().await
        };
        let error = soon(never).await.expect_err("a new connection is closed");
        assert_ne!(error.code(), Some(Code::TOO_MANY_STREAMS), "{transport:?}");

        gate.send_replace(true);
        for (_, stream, messages) in &mut streams {
            stream.close_send();
            assert_eq!(soon(stream.recv()).await.unwrap().unwrap().seq, Some(*messages), "{transport:?}");
        }
        until(|| budget.used() < LIMIT / 10 * 8).await;
        drop(open(&streams[0].0, 3).await);
        // What a burst took is given back: a connection counts with 4 KiB, and up to 16 KiB of what it holds no more.
        until(|| budget.used() <= 13 * 24 * 1024).await;
    }
}

#[tokio::test]
async fn memory_budget_that_is_held_for_30_s_refuses_others_no_longer() {
    for transport in TRANSPORTS {
        let budget = MemoryBudget::new(MB);
        let Slow { peer, gate: _closed, ends } = slow_server(&budget, false).await;
        let holder = client(&peer, transport, false);
        let (small, mut most) = (open(&holder, 0).await, open(&holder, 1).await);
        fill(&small, 1, &budget).await;
        fill(&most, 17, &budget).await;
        let other = client(&peer, transport, false);
        for _ in 0..2 {
            let error = soon(other.unary(&Context::background(), req("", 0))).await.unwrap_err();
            assert_eq!(refusal(&error), "request over limit: memory_budget=1048576", "{transport:?}");
            assert!(ends.lock().unwrap().is_empty(), "{transport:?}");
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(16)).await;
            tokio::time::resume();
        }
        // 32 s after the first refusal.
        soon(async { while other.unary(&Context::background(), req("", 0)).await.is_err() {} }).await;
        drop(open(&other, 2).await);
        assert_eq!(brief(&soon(most.recv()).await.unwrap_err()), "12901 client", "{transport:?}");
        assert_eq!(*ends.lock().unwrap(), [(1, "12901 server".to_owned())], "{transport:?}");
        drop(small);
    }
}

#[tokio::test]
async fn memory_budget_lets_refused_streams_and_calls_move_on_to_another_server() {
    for transport in TRANSPORTS {
        let budget = MemoryBudget::new(MB);
        let Slow { peer: full, gate: _closed, .. } = slow_server(&budget, false).await;
        let held = client(&full, transport, false);
        let held = open(&held, 0).await;
        // 84 %.
        fill(&held, 18, &budget).await;
        let free = Peer::start(Handlers::default()).await;
        let both = StaticAddresses::new([full.address.clone(), free.address.clone()]);
        let client = builder("").transport(transport).addresses(both).balance(RoundRobin::default());
        let client = EchoClient::new(client.memory_budget(MemoryBudget::unlimited()).build().unwrap());
        let mut seq = 0;
        while full.handle.stats().refused < 3 {
            seq += 1;
            drop(open(&client, seq).await);
            assert_eq!(
                soon(client.unary(&Context::background(), req("", seq))).await.unwrap().seq,
                Some(seq)
            );
        }
        assert!(client.as_ref().pool_stats().retries >= 3, "{transport:?}");
    }
}

#[tokio::test]
async fn memory_budget_of_a_server_ends_the_stream_that_holds_most() {
    for (transport, credits) in FLOWS {
        let budget = MemoryBudget::new(4 * MB);
        let Slow { peer, gate, ends } = slow_server(&budget, credits).await;
        let mut streams = Vec::new();
        for seq in (0..).take(PLAN.len()) {
            streams.push(open(&client(&peer, transport, credits), seq).await);
        }
        let mut before = budget.used();
        for (stream, messages) in streams.iter_mut().zip(PLAN) {
            for _ in 0..messages {
                stream.send(&large(MESSAGE)).await.unwrap();
            }
            let is_counted = || budget.used() + 20_000 >= before + messages * MESSAGE;
            until(|| is_counted() || !ends.lock().unwrap().is_empty()).await;
            before = budget.used();
        }
        until(|| !ends.lock().unwrap().is_empty() && budget.used() < 4 * MB / 100 * 95).await;
        gate.send_replace(true);
        let mut lost = Vec::new();
        for (at, (stream, messages)) in streams.iter_mut().zip(PLAN).enumerate() {
            stream.close_send();
            match soon(stream.recv()).await {
                Ok(answer) => assert_eq!(answer.unwrap().seq, i64::try_from(messages).ok(), "{transport:?}"),
                Err(error) => lost.push((i64::try_from(at).unwrap(), brief(&error))),
            }
        }
        let ends = ends.lock().unwrap().clone();
        assert_eq!((ends.len(), lost.len()), (1, 1), "{transport:?}: {ends:?} {lost:?}");
        assert!(usize::try_from(ends[0].0).unwrap() < LARGE && ends[0].0 == lost[0].0, "{ends:?} {lost:?}");
        assert_eq!((&*ends[0].1, &*lost[0].1), ("12901 server", "12901 client"), "{transport:?}");
    }
}

#[tokio::test]
async fn memory_budget_of_a_client_ends_the_stream_that_holds_most() {
    for (transport, credits) in FLOWS {
        let handlers = Handlers::default().down(|ctx, req, stream| async move {
            for _ in 0..req.seq.unwrap_or_default() {
                let payload = large(MESSAGE).payload;
                stream.send(&Resp { payload, ..Resp::default() }).await?;
            }
            // The end of the stream would let its messages stay.
            Err(ctx.canceled().await.into())
        });
        let server = patient(credits).0;
        let peer = Peer::with(handlers, |peer| peer.connection(server)).await;
        let budget = MemoryBudget::new(4 * MB);
        let (config, grpc) = patient(credits);
        let client = peer.client_with(|client| {
            let client = client.transport(transport).pool(PoolKind::Long { max_idle: 8 });
            client.connection(config).grpc(grpc).memory_budget(budget.clone())
        });
        let (ctx, canceler) = Context::background().with_cancel();
        let mut streams = Vec::new();
        for (at, messages) in PLAN.into_iter().enumerate() {
            let before = budget.used();
            let stream = client.down(&ctx, req("", i64::try_from(messages).unwrap())).await.unwrap();
            streams.push((stream, messages));
            if at + 1 < PLAN.len() {
                until(|| budget.used() + 20_000 >= before + messages * MESSAGE).await;
            }
        }
        // Before the last of them came it was more, and one that holds 800 kB is dropped.
        until(|| budget.used() < 4 * MB / 100 * 85).await;
        let mut lost = Vec::new();
        for (at, (stream, _)) in streams.iter_mut().enumerate() {
            match soon(stream.recv()).await {
                Ok(message) => assert!(message.is_some(), "{transport:?}"),
                Err(error) => lost.push((at, brief(&error))),
            }
        }
        assert_eq!(lost.len(), 1, "{transport:?}: {lost:?}");
        assert!(lost[0].0 < LARGE && lost[0].1 == "12901 client", "{transport:?}: {lost:?}");
        canceler.cancel();
    }
}
