//! Streams and calls that no handler has seen are tried again, on another connection; no others are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kitex::client::{PoolKind, Retry, SharedInstances, StaticAddresses, Transport};
use kitex::stream_core::UNREAD_FOR;
use kitex::{Context, Result, Server};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use ttheader_codec::FrameType::{Data, Header, Rst};

use crate::fixture::echo::EchoServer;
use crate::fixture::{
    EchoClient, Handlers, LONG, Peer, Recorder, Resp, Wire, brief, builder, ended, large, reports, req, resp,
    soon,
};
use crate::stalls::unless_stalled;
use crate::unread::{Reads, doomed};

const BOTH: [Transport; 2] = [Transport::TtHeader, Transport::Grpc];
const PERSISTENT: &str = "RetryReq";

/// Returns a client that knows one instance at first, so that a stream goes there however long the dial takes, and its source.
fn client_of(first: &str, retry: Retry) -> (EchoClient, SharedInstances) {
    let instances = SharedInstances::default();
    instances.set([first]);
    let client = builder("").addresses(instances.clone()).retry(retry).build().unwrap();
    (EchoClient::new(client), instances)
}

async fn down(client: &EchoClient, messages: i64) -> Result<i64> {
    let mut down = client.down(&Context::background(), req("", messages)).await?;
    let mut got = 0;
    while soon(down.recv()).await?.is_some() {
        got += 1;
    }
    Ok(got)
}

/// Handlers that return the name of their server and whether the call was tried again.
fn named(name: &'static str) -> Handlers {
    let said = move |ctx: &Context| {
        let retried = ctx.persistent(PERSISTENT).or_else(|| ctx.persistent("RETRYREQ")).cloned();
        format!("{name} {}", String::from_utf8_lossy(&retried.unwrap_or_default())).trim().to_owned()
    };
    Handlers::default()
        .bidi(move |ctx, mut stream| async move {
            while let Some(req) = stream.recv().await? {
                stream.send(&resp(&said(&ctx), req.seq.unwrap_or_default())).await?;
            }
            Ok(())
        })
        .up(move |ctx, mut stream| async move {
            let mut sum = 0;
            while let Some(req) = stream.recv().await? {
                sum = sum * 10 + req.seq.unwrap_or_default();
            }
            Ok(resp(&said(&ctx), sum))
        })
        .unary(move |ctx, req| async move { Ok(resp(&said(&ctx), req.seq.unwrap_or_default())) })
}

fn said(resp: Resp) -> (String, i64) {
    (resp.msg.unwrap_or_default().to_string(), resp.seq.unwrap_or_default())
}

#[tokio::test]
async fn streams_beyond_max_concurrent_streams_get_another_connection() {
    const MANY: usize = 200;
    for transport in BOTH {
        let running = Arc::new(AtomicUsize::new(0));
        let (all, many) = (running.clone(), Arc::new(AtomicBool::new(false)));
        let together = many.clone();
        let handlers = Handlers::default().down(move |_, _, stream| {
            let (running, many) = (all.clone(), together.clone());
            async move {
                if running.fetch_add(1, Ordering::SeqCst) + 1 == MANY {
                    many.store(true, Ordering::SeqCst);
                }
                while !many.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                stream.send(&resp("", 0)).await
            }
        });
        let peer = Peer::with(handlers, |server| server.max_concurrent_streams(16)).await;
        // A connection that was full is tried again each second: on a busy machine a stream may be refused each time.
        let retry = Retry::default().limit(50).budget(100, 10_000);
        let client = peer.client_with(|client| client.transport(transport).retry(retry));
        let mut calls = JoinSet::new();
        for _ in 0..MANY {
            let client = client.clone();
            calls.spawn(async move { down(&client, 1).await });
        }
        while let Some(call) = soon(calls.join_next()).await {
            assert_eq!(ended(&call.unwrap()), "ok", "{transport:?}: all {MANY} run at once");
        }
        assert!(client.as_ref().pool_stats().connections >= MANY / 16, "{transport:?}");
    }
}

#[tokio::test]
async fn streams_beyond_a_limit_of_the_whole_server_open_no_connections() {
    for transport in BOTH {
        let handlers = Handlers::default().down(|ctx, _, stream| async move {
            stream.send(&resp("", 0)).await?;
            Err(ctx.canceled().await.into())
        });
        let peer = Peer::with(handlers, |server| server.max_handlers(2)).await;
        let client = peer.client_with(|client| client.transport(transport));
        let (ctx, canceler) = Context::background().with_cancel();
        let mut running = Vec::new();
        for _ in 0..2 {
            let mut stream = client.down(&ctx, req("", 0)).await.unwrap();
            soon(stream.recv()).await.unwrap();
            running.push(stream);
        }
        let before = client.as_ref().pool_stats().connections;
        for _ in 0..50 {
            let refused = soon(down(&client, 1)).await;
            assert!(ended(&refused).starts_with("12900"), "{transport:?}: {}", ended(&refused));
        }
        let after = client.as_ref().pool_stats().connections;
        assert!(after <= before + 1, "{transport:?}: {before} connections, and then {after}");
        canceler.cancel();
    }
}

#[tokio::test]
async fn retry_limit_and_budget_bound_the_attempts() {
    // A policy; the attempts of one stream that is refused each time.
    let rows = [
        (Retry::default(), 3),
        (Retry::default().limit(1), 2),
        (Retry::default().limit(5), 6),
        (Retry::default().budget(20, 1), 2),
        (Retry::default().budget(20, 0), 1),
        (Retry::none(), 1),
    ];
    for (retry, attempts) in rows {
        let peer = Peer::with(Handlers::default(), |server| server.max_concurrent_streams(0)).await;
        let seen = Recorder::full();
        let client = peer.client_with(|client| client.retry(retry).observer(seen.clone()));
        assert_eq!(ended(&down(&client, 1).await), "12900 client", "{retry:?}");
        let words = seen.finished(1).await;
        assert_eq!(words.matches("stream").count(), attempts, "{retry:?}: {words}");
    }
}

/// What a client does with a call that is refused first.
#[derive(Clone, Copy, Debug)]
enum Use {
    /// A stream of two messages, received to its end.
    Down,
    /// A ping-pong call that is lost unread first.
    Unary,
    /// A stream that is dropped while its second attempt dials.
    Abandoned,
}

#[tokio::test]
async fn observer_sees_all_attempts_of_a_call_as_one() {
    // Use; whether the second attempt finds a server; the events.
    let rows = [
        (Use::Down, true, "start, stream, sent, stream, header, received, received, finish ok"),
        (Use::Down, false, "start, stream, sent, stream, stream, recv canceled, finish canceled"),
        (Use::Unary, true, "start, connected, sent, connected, header, received, finish ok"),
        (Use::Abandoned, false, "start, stream, sent, finish canceled"),
    ];
    for (call, served, expected) in rows {
        let seen = loop {
            let began = Instant::now();
            let seen = attempts(call, served).await;
            // A loss that is seen later than that, on a slow machine, proves nothing.
            if !matches!(call, Use::Unary) || began.elapsed() <= UNREAD_FOR {
                break seen;
            }
        };
        assert_eq!(seen, expected, "{call:?}");
    }
}

async fn attempts(call: Use, served: bool) -> String {
    let refusing = Peer::with(Handlers::default(), |server| server.max_concurrent_streams(0)).await;
    let mut doomed = doomed(Reads::Nothing, 0, Transport::TtHeader).await;
    let serving = Peer::start(Handlers::default()).await;
    let silent = crate::fixture::Unreachable::new().await;
    let (instances, seen) = (SharedInstances::default(), Recorder::full());
    instances.set([&*refusing.address]);
    let source = if let Use::Unary = call { doomed.instances.clone() } else { instances.clone() };
    let client = builder("").addresses(source).pool(PoolKind::Short);
    let client = client.connect_timeout(Duration::from_secs(3600)).observer(seen.clone());
    let (client, ctx) = (EchoClient::new(client.build().unwrap()), Context::background());
    match call {
        Use::Down => {
            let mut down = client.down(&ctx, req("", 2)).await.unwrap();
            if served {
                instances.set([&*refusing.address, &*serving.address]);
            }
            while let Ok(Some(_)) = soon(down.recv()).await {}
        }
        Use::Unary => {
            let request = client.unary(&ctx, req("", 1));
            let _ = tokio::join!(soon(request), doomed.fail(Some(&serving.address)));
        }
        Use::Abandoned => {
            let mut down = client.down(&ctx, req("", 1)).await.unwrap();
            instances.set([&*refusing.address, &*silent.address]);
            tokio::select! {
                _ = down.recv() => unreachable!("the second address never accepts"),
                () = crate::fixture::until(|| client.as_ref().pool_stats().dials == 2) => {}
            }
        }
    }
    seen.finished(1).await
}

#[tokio::test]
async fn replay_bytes_bound_what_is_sent_again_and_all_of_it_arrives_once() {
    // Messages; bytes that may be kept; whether the stream is tried again.
    let rows = [(3, 64 * 1024, true), (9, 64 * 1024, true), (3, 0, false), (3, 30, false)];
    for (messages, bytes, again) in rows {
        let refusing = Peer::with(named("refusing"), |server| server.max_concurrent_streams(0)).await;
        let serving = Peer::start(named("serving")).await;
        let (client, instances) = client_of(&refusing.address, Retry::default().replay_bytes(bytes));
        let mut up = client.up(&Context::background()).await.unwrap();
        instances.set([&refusing.address, &serving.address]);
        let mut sum = 0;
        for seq in 1..=messages {
            sum = sum * 10 + seq;
            // The refusal may have arrived.
            let _ = up.send(&req("", seq)).await;
        }
        let answer = soon(up.close_and_recv()).await;
        match again {
            true => assert_eq!(said(answer.unwrap()), ("serving 1".to_owned(), sum)),
            false => assert_eq!(ended(&answer), "12900 client", "{bytes}"),
        }
    }
}

/// Whether a stream whose Send is the first to see the refusal is tried again.
#[tokio::test]
async fn a_send_after_the_refusal_goes_to_the_next_stream() {
    let refusing = Peer::with(named("refusing"), |server| server.max_concurrent_streams(0)).await;
    let serving = Peer::start(named("serving")).await;
    let (client, instances) = client_of(&refusing.address, Retry::default());
    let stream = client.bidi(&Context::background()).await.unwrap();
    instances.set([&refusing.address, &serving.address]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (sender, mut receiver) = stream.split();
    for seq in 0..5 {
        soon(sender.send(&req("", seq))).await.unwrap();
    }
    for seq in 0..5 {
        assert_eq!(said(soon(receiver.recv()).await.unwrap().unwrap()), ("serving 1".to_owned(), seq));
    }
    sender.close_send();
    assert_eq!(soon(receiver.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_call_below_one_that_was_tried_again_is_not_tried_again() {
    // What the caller's context has; the attempts further down.
    for (mark, attempts) in [(None, 3), (Some("1"), 1)] {
        let refusing = Peer::with(Handlers::default(), |server| server.max_concurrent_streams(0)).await;
        let seen = Recorder::full();
        let below = refusing.client_with(|client| client.observer(seen.clone()));
        let handlers = Handlers::default().unary(move |ctx, _| {
            let below = below.clone();
            async move {
                let mut down = below.down(&ctx, req("", 1)).await?;
                Ok(resp(&ended(&down.recv().await), 0))
            }
        });
        let relay = Peer::start(handlers).await;
        let ctx = Context::background();
        let ctx = mark.map_or_else(|| ctx.clone(), |mark| ctx.with_persistent(PERSISTENT, mark));
        let answer = soon(relay.client().unary(&ctx, req("", 0))).await.unwrap();
        assert_eq!(said(answer).0, "12900 client");
        let words = seen.finished(1).await;
        assert_eq!(words.matches("stream").count(), attempts, "{mark:?}: {words}");
    }
}

#[tokio::test]
async fn a_stream_that_is_canceled_while_it_is_tried_again_ends_as_canceled() {
    let refusing = Peer::with(Handlers::default(), |server| server.max_concurrent_streams(0)).await;
    let silent = crate::fixture::Unreachable::new().await;
    let instances = SharedInstances::default();
    instances.set([&*refusing.address]);
    let client = builder("").addresses(instances.clone()).pool(PoolKind::Short);
    let client = EchoClient::new(client.connect_timeout(Duration::from_secs(3600)).build().unwrap());
    let (ctx, canceler) = Context::background().with_cancel();
    let mut down = client.down(&ctx, req("", 1)).await.unwrap();
    instances.set([&*refusing.address, &*silent.address]);
    let (reporter, mut reported) = reports();
    down.on_close(move |error| reporter.send(error.map(brief)));
    let waiting = tokio::spawn(async move { (ended(&down.recv().await), ended(&down.recv().await)) });
    crate::fixture::until(|| client.as_ref().pool_stats().dials == 2).await;
    canceler.cancel();
    let both = soon(waiting).await.unwrap();
    assert_eq!(both, ("12007 client".to_owned(), "12007 client".to_owned()));
    assert_eq!(reported.next().await, Some("12007 client".to_owned()), "called once, with the final error");
}

#[tokio::test]
async fn an_on_close_callback_waits_for_the_stream_that_was_opened_in_place_of_the_refused_one() {
    let refusing = Peer::with(named("refusing"), |server| server.max_concurrent_streams(0)).await;
    let serving = Peer::start(named("serving")).await;
    let (client, instances) = client_of(&refusing.address, Retry::default());
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    instances.set([&refusing.address, &serving.address]);
    let (reporter, mut reported) = reports();
    let at_end = reporter.clone();
    bidi.on_close(move |error| at_end.send(error.map_or_else(|| "ok".to_owned(), brief)));
    bidi.send(&req("", 7)).await.unwrap();
    assert_eq!(said(soon(bidi.recv()).await.unwrap().unwrap()).1, 7);
    reporter.send("answered".to_owned());
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    assert_eq!([reported.next().await, reported.next().await], ["answered", "ok"]);
}

/// A refusal that comes after the answer has begun is none.
#[tokio::test]
async fn a_stream_whose_answer_has_begun_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = EchoClient::new(builder(&listener.local_addr().unwrap().to_string()).build().unwrap());
    for first in [Header, Data] {
        let mut down = client.down(&Context::background(), req("", 1)).await.unwrap();
        let mut wire = Wire::accept(&listener).await;
        wire.next_of(Data).await;
        match first {
            Header => wire.frame(1, Header, &[], b"").await,
            _ => {
                wire.frame(1, Header, &[], b"").await;
                wire.message(1, &resp("", 1)).await;
            }
        }
        let refusal = kitex::ApplicationException::new(12903, "late").encode("Down", 1);
        wire.frame(1, Rst, &[], &refusal).await;
        let mut end = soon(down.recv()).await;
        if first == Data {
            assert!(end.unwrap().is_some());
            end = soon(down.recv()).await;
        }
        assert_eq!(ended(&end), "12903 client");
    }
}

/// A client that tries a call again as often as it may be refused while this machine is busy: a server that leaves can then
/// refuse the same call several times.
fn patient() -> kitex::client::ClientBuilder {
    builder("").retry(Retry::default().limit(8))
}

/// Its clients have longer to leave than by default: on a busy machine they may stand still meanwhile. It waits all of that time for an
/// idle connection of ping-pong calls, whose client is notified by a response alone.
async fn start(address: &str) -> Peer {
    let server = Server::builder("ServiceB").handover(Duration::from_secs(2)).exit_wait(LONG);
    let server = server.service(EchoServer::new(Handlers::default()));
    Peer::bind(server, address).await
}

/// A stream whose server has not read its opening is opened again if that is seen within [`UNREAD_FOR`].
const BEARABLE: Duration = Duration::from_millis(500);

type Counts = Arc<std::sync::Mutex<BTreeMap<String, usize>>>;

async fn call_until(client: EchoClient, stop: Arc<AtomicBool>, counts: Counts, number: usize) {
    while !stop.load(Ordering::SeqCst) {
        let (what, result) = match number % 4 {
            0 | 1 => ("down", down(&client, 2).await.map(|got| assert_eq!(got, 2))),
            2 => ("unary", client.unary(&Context::background(), large(100)).await.map(drop)),
            _ => ("bidi", echo(&client).await),
        };
        let end = ended(&result);
        let text = result.err().map(|error| format!(" {error}")).unwrap_or_default();
        *counts.lock().unwrap().entry(format!("{what} {end}{text}")).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn echo(client: &EchoClient) -> Result<()> {
    let mut bidi = client.bidi(&Context::background()).await?;
    for seq in 0..3 {
        bidi.send(&req("", seq)).await?;
        soon(bidi.recv()).await?;
    }
    bidi.close_send();
    soon(bidi.recv()).await.map(drop)
}

/// Opens 200 streams a second while three servers are restarted in turn. For a minute of it:
/// `KITEX_ROLLING_SECONDS=60 cargo test -p kitex --test it -- --nocapture rolling_restart_at`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_at_200_openings_a_second_costs_none() {
    for transport in BOTH {
        unless_stalled(BEARABLE, async || open_200_a_second(transport).await).await;
    }
}

async fn open_200_a_second(transport: Transport) -> Result<(), String> {
    let seconds = std::env::var("KITEX_ROLLING_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let mut servers = [start("127.0.0.1:0").await, start("127.0.0.1:0").await, start("127.0.0.1:0").await];
    let addresses = StaticAddresses::new(servers.iter().map(|server| server.address.clone()));
    let client = patient().addresses(addresses).transport(transport);
    let client = EchoClient::new(client.build().unwrap());
    let (mut calls, mut failed, mut late) = (JoinSet::new(), BTreeMap::new(), 0);
    let (began, mut ticks) = (Instant::now(), tokio::time::interval(Duration::from_millis(5)));
    let restarts = tokio::spawn(async move {
        for at in (0..3).cycle() {
            if began.elapsed() >= Duration::from_secs(seconds) {
                break;
            }
            let address = servers[at].address.clone();
            let placeholder = start("127.0.0.1:0").await;
            std::mem::replace(&mut servers[at], placeholder).shut_down().await;
            servers[at] = start(&address).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        servers
    });
    while began.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        let client = client.clone();
        calls.spawn(async move {
            let opened = Instant::now();
            let result = down(&client, 2).await;
            let ended = match &result {
                Ok(_) => ended(&result),
                Err(error) => format!("{}: {error}", ended(&result)),
            };
            (ended, opened.elapsed() > Duration::from_secs(1))
        });
        while let Some(call) = calls.try_join_next() {
            let (ended, was_late) = call.unwrap();
            late += usize::from(was_late);
            *failed.entry(ended).or_insert(0) += 1;
        }
    }
    while let Some(call) = calls.join_next().await {
        *failed.entry(call.unwrap().0).or_insert(0) += 1;
    }
    drop(restarts.await.unwrap());
    println!("{transport:?}: {failed:?}, {late} took more than a second");
    match failed.keys().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ok"] => Ok(()),
        _ => Err(format!("{transport:?}: {failed:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_three_servers_costs_no_stream_and_no_call() {
    for (transport, pool) in BOTH
        .into_iter()
        .flat_map(|transport| [PoolKind::Mux(2), PoolKind::long()].map(|pool| (transport, pool)))
    {
        unless_stalled(BEARABLE, async || restart_three(transport, pool).await).await;
    }
}

async fn restart_three(transport: Transport, pool: PoolKind) -> Result<(), String> {
    let mut servers = [start("127.0.0.1:0").await, start("127.0.0.1:0").await, start("127.0.0.1:0").await];
    let addresses = StaticAddresses::new(servers.iter().map(|server| server.address.clone()));
    let client = patient().addresses(addresses).transport(transport).pool(pool).build().unwrap();
    let client = EchoClient::new(client);
    let (stop, counts) = (Arc::new(AtomicBool::new(false)), Counts::default());
    let task = |number| tokio::spawn(call_until(client.clone(), stop.clone(), counts.clone(), number));
    let tasks: Vec<_> = (0..24).map(task).collect();
    for round in 0..6 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let address = servers[round % 3].address.clone();
        let Some(leaving) = servers.get_mut(round % 3) else { continue };
        let placeholder = start("127.0.0.1:0").await;
        std::mem::replace(leaving, placeholder).shut_down().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        servers[round % 3] = start(&address).await;
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        soon(task).await.unwrap();
    }
    let counts = counts.lock().unwrap().clone();
    let failed: Vec<_> = counts.iter().filter(|(what, _)| !what.ends_with(" ok")).collect();
    if !failed.is_empty() {
        return Err(format!("{transport:?} {pool:?}: {failed:?} of {counts:?}"));
    }
    assert_eq!(counts.len(), 3, "each kind of call was made: {counts:?}");
    Ok(())
}
