//! Retry of handlers that are idempotent until their first message (`Retry::idempotent`): a stream or call whose
//! connection was lost while its handler ran is tried again where that was declared, and only there.

mod site;

use std::env;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::join_all;
use kitex::Context;
use kitex::client::{PoolKind, Retry, SharedInstances};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::site::{
    FAILS, FAILS_BIZ, HANGS, LOST, Moving, Opened, PERSISTENT, SENDS_HEADER, SENDS_MESSAGE, Site, USES, Use,
    answered, handlers, idempotent, outcome, text,
};
use crate::fixture::{
    EchoClient, Handlers, Peer, Proxy, Recorder, builder, by, ended, of_ttheader_alone, reports, req, resp,
    soon, until,
};

/// What else a row says of a call.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    what: &'static str,
    retry: Retry,
    /// `CallOptions::idempotent`.
    option: Option<bool>,
    /// The call is made below one that was tried again.
    is_below: bool,
    /// The caller waits for the response already when the connection is lost.
    waits: bool,
    is_retried: bool,
}

async fn check(row: Row, call: Use) {
    let (mut first, second) = (Site::new("first", false).await, Site::new("second", true).await);
    let moving = Moving::at(&first, row.retry);
    let client = moving.client.with_options(|options| options.idempotent = row.option);
    let ctx = Context::background();
    let ctx = if row.is_below { ctx.with_persistent(PERSISTENT, "1") } else { ctx };
    let opened = soon(Opened::begin(&client, &ctx, call, HANGS)).await.unwrap();
    first.begun.next().await;
    let finished = if row.waits {
        let waiting = tokio::spawn(opened.finish());
        moving.lose(&first, &second).await;
        soon(waiting).await.unwrap()
    } else {
        moving.lose(&first, &second).await;
        opened.finish().await
    };
    let expected = if row.is_retried { answered("second 1", call) } else { LOST.to_owned() };
    assert_eq!(outcome(finished), expected, "{} {call:?}", row.what);
    assert_eq!(
        (first.runs(), second.runs()),
        (1, usize::from(row.is_retried)),
        "{} {call:?}: runs",
        row.what
    );
    assert_eq!(moving.stats().retries, u64::from(row.is_retried), "{} {call:?}", row.what);
}

#[tokio::test]
async fn idempotent_tries_a_lost_stream_or_call_again_within_limit_and_budget() {
    let row = |what, retry| Row { what, retry, ..Row::default() };
    let rows = [
        row("not declared", Retry::default()),
        Row { waits: true, ..row("not declared, waiting", Retry::default()) },
        Row { is_retried: true, ..row("declared", idempotent()) },
        Row { is_retried: true, waits: true, ..row("declared, waiting", idempotent()) },
        Row { is_retried: true, option: Some(true), ..row("declared for the call", Retry::default()) },
        Row { option: Some(false), ..row("not for the call", idempotent()) },
        row("no limit", idempotent().limit(0)),
        row("no budget", idempotent().budget(100, 0)),
        row("no retry at all", Retry::none().idempotent(true)),
        Row { is_below: true, ..row("below a retry", idempotent()) },
    ];
    join_all(rows.iter().flat_map(|row| USES.map(|call| check(*row, call)))).await;
}

/// By which attempt a stream or call is answered if the first two servers are lost.
#[tokio::test]
async fn retry_limit_bounds_the_attempts_of_a_lost_stream_or_call() {
    let rows = [(1, false), (2, true)];
    let check = async |limit: u32, is_answered: bool, call: Use| {
        let (mut first, mut second) = (Site::new("first", false).await, Site::new("second", false).await);
        let third = Site::new("third", true).await;
        let moving = Moving::at(&first, idempotent().limit(limit));
        let opened = soon(Opened::begin(&moving.client, &Context::background(), call, HANGS)).await.unwrap();
        let finished = tokio::spawn(opened.finish());
        first.begun.next().await;
        moving.lose(&first, &second).await;
        second.begun.next().await;
        moving.lose(&second, &third).await;
        let expected = if is_answered { answered("third 2", call) } else { LOST.to_owned() };
        assert_eq!(outcome(soon(finished).await.unwrap()), expected, "{limit} {call:?}");
        let runs = [first.runs(), second.runs(), third.runs()];
        assert_eq!(runs, [1, 1, usize::from(is_answered)], "{limit} {call:?}");
    };
    join_all(rows.iter().flat_map(|(limit, is)| USES.map(|call| check(*limit, *is, call)))).await;
}

#[tokio::test]
async fn replay_bytes_bound_the_retry_of_a_lost_stream() {
    // Bytes that may be kept; whether three messages of some 20 bytes are sent again.
    for (bytes, is_retried) in [(0, false), (30, false), (1000, true)] {
        let (mut first, second) = (Site::new("first", false).await, Site::new("second", true).await);
        let moving = Moving::at(&first, idempotent().replay_bytes(bytes));
        let mut up = moving.client.up(&Context::background()).await.unwrap();
        for seq in 1..=3 {
            up.send(&req(HANGS, seq)).await.unwrap();
        }
        first.begun.next().await;
        moving.lose(&first, &second).await;
        let answer = soon(up.close_and_recv()).await.map(|answer| text(Some(answer)));
        let expected = if is_retried { "second 1 123" } else { LOST };
        assert_eq!(outcome(answer), expected, "{bytes} bytes");
        assert_eq!(second.runs(), usize::from(is_retried), "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_lost_stream_is_not_tried_again_after_a_header_or_message() {
    for what in [SENDS_HEADER, SENDS_MESSAGE] {
        let (mut first, second) = (Site::new("first", false).await, Site::new("second", true).await);
        let moving = Moving::at(&first, idempotent());
        let mut down = moving.client.down(&Context::background(), req(what, 7)).await.unwrap();
        match what {
            SENDS_HEADER => drop(soon(down.header()).await.unwrap()),
            _ => assert_eq!(text(soon(down.recv()).await.unwrap()), "first 0"),
        }
        first.begun.next().await;
        moving.lose(&first, &second).await;
        assert_eq!(ended(&soon(down.recv()).await), LOST, "{what}");
        assert_eq!((first.runs(), second.runs()), (1, 0), "{what}");
    }
}

#[tokio::test]
async fn errors_of_a_handler_are_not_tried_again() {
    // What the handler does, and what the error says.
    for (what, expected) in [(FAILS, "failed"), (FAILS_BIZ, "404")] {
        for call in USES {
            let first = Site::new("first", false).await;
            let moving = Moving::at(&first, idempotent());
            let opened =
                soon(Opened::begin(&moving.client, &Context::background(), call, what)).await.unwrap();
            let error = opened.finish().await.unwrap_err().to_string();
            assert!(error.contains(expected), "{what} {call:?}: {error}");
            assert_eq!((first.runs(), moving.stats().retries), (1, 0), "{what} {call:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_stream_or_call_is_not_tried_again_after_a_cancel() {
    // Whether the cancel comes after the loss, before the caller sees that; how the stream or call ends. By gRPC a stream
    // reads its loss when it is polled.
    for (is_late, expected) in [(false, "12007 client"), (true, by(LOST, "12007 client"))] {
        for call in USES {
            if is_late && call == Use::Unary {
                // A call sees the loss at once.
                continue;
            }
            let (mut first, second) = (Site::new("first", false).await, Site::new("second", true).await);
            let moving = Moving::at(&first, idempotent());
            let (ctx, canceler) = Context::background().with_cancel();
            let opened = soon(Opened::begin(&moving.client, &ctx, call, HANGS)).await.unwrap();
            first.begun.next().await;
            if is_late {
                moving.is_read_by(&first).await;
                first.proxy.cut();
                until(|| moving.stats().connections == 0).await;
                canceler.cancel();
            } else {
                canceler.cancel();
                moving.lose(&first, &second).await;
            }
            let outcome = outcome(opened.finish().await);
            assert_eq!(outcome, expected, "{call:?}, late: {is_late}");
            assert_eq!((second.runs(), moving.stats().retries), (0, 0), "{call:?} {is_late}");
        }
    }
}

/// Whatever comes first on a busy machine, the handler or the deadline, the loss or the deadline.
#[tokio::test]
async fn a_lost_stream_is_not_tried_again_past_its_deadline() {
    let (mut first, second) = (Site::new("first", false).await, Site::new("second", true).await);
    let moving = Moving::at(&first, idempotent());
    let (time, began) = (Duration::from_secs(2), tokio::time::Instant::now());
    let ctx = Context::background().with_timeout(time);
    let opened = Opened::begin(&moving.client, &ctx, Use::Down, HANGS).await;
    tokio::select! {
        () = first.begun.next() => {}
        () = tokio::time::sleep_until(began + time) => {}
    }
    moving.instances.set([&*second.proxy.address]);
    first.proxy.cut();
    tokio::time::sleep_until(began + time).await;
    let outcome = match opened {
        Ok(opened) => outcome(opened.finish().await),
        Err(error) => outcome(Err(error)),
    };
    assert!([LOST, "12015 client"].contains(&&*outcome), "{outcome}");
    assert_eq!((second.runs(), moving.stats().retries), (0, 0));
}

#[tokio::test]
async fn a_lost_stream_of_the_only_instance_is_opened_again_on_a_new_connection() {
    let runs = Arc::new(AtomicI64::new(0));
    let (reporter, mut begun) = reports();
    let of_handler = runs.clone();
    let handlers = Handlers::default().down(move |ctx, _, stream| {
        let (reporter, run) = (reporter.clone(), of_handler.fetch_add(1, SeqCst));
        async move {
            if run == 1 {
                reporter.send(());
                return Err(ctx.canceled().await.into());
            }
            stream.send(&resp("run", run)).await
        }
    });
    let peer = Peer::start(handlers).await;
    let proxy = Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).retry(idempotent()).build().unwrap());
    let ctx = Context::background();
    // A connection that is lost before anything has come would count as a failed dial.
    let mut first = client.down(&ctx, req("", 0)).await.unwrap();
    assert_eq!(text(soon(first.recv()).await.unwrap()), "run 0");
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    begun.next().await;
    proxy.cut();
    until(|| proxy.open() == 0 && client.as_ref().pool_stats().connections == 0).await;
    proxy.pass();
    assert_eq!(text(soon(down.recv()).await.unwrap()), "run 2");
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    assert_eq!(runs.load(SeqCst), 3);
}

#[tokio::test]
async fn observer_sees_a_lost_stream_and_its_retry_as_one_call() {
    let (mut first, second) = (Site::new("first", false).await, Site::new("second", true).await);
    let seen = Recorder::full();
    let moving = Moving::with(&first, |client| client.retry(idempotent()).observer(seen.clone()));
    let ctx = Context::background();
    let opened = soon(Opened::begin(&moving.client, &ctx, Use::Down, HANGS)).await.unwrap();
    first.begun.next().await;
    moving.instances.set([&*second.proxy.address]);
    first.proxy.cut();
    assert_eq!(opened.finish().await.unwrap(), "second 1 7");
    assert_eq!(seen.finished(1).await, "start, stream, sent, stream, header, received, finish ok");
}

/// A loss counts as a failure of its instance, whether the stream is tried again or not.
#[tokio::test]
async fn lost_streams_that_are_tried_again_eject_their_instance() {
    let (mut first, second) = (Site::new("first", false).await, Site::new("second", true).await);
    let moving = Moving::at(&first, idempotent());
    let (ctx, mut all) = (Context::background(), Vec::new());
    for _ in 0..5 {
        all.push(soon(Opened::begin(&moving.client, &ctx, Use::Down, HANGS)).await.unwrap());
        first.begun.next().await;
    }
    moving.lose(&first, &second).await;
    for opened in all {
        assert_eq!(opened.finish().await.unwrap(), "second 1 7");
    }
    assert_eq!(moving.stats().ejections, 1);
}

/// Set for the process that [`a_server_that_is_killed_with_50_idempotent_streams_costs_none`] kills.
const CHILD: &str = "KITEX_RETRY_CHILD";

/// What that process runs; in any other process the test does nothing.
#[tokio::test]
async fn idempotent_streams_of_a_process() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let (reporter, mut begun) = reports();
    let peer = Peer::start(handlers("first", false, &Arc::default(), reporter)).await;
    println!("\nlistens on {}", peer.address);
    loop {
        begun.next().await;
        println!("\nbegun");
    }
}

/// Returns what stands behind this word in the next line that begins with it.
async fn line_of(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) -> String {
    loop {
        let line = soon(lines.next_line()).await.unwrap().expect("a process that serves");
        if let Some(rest) = line.strip_prefix(word) {
            return rest.to_owned();
        }
    }
}

#[tokio::test]
async fn a_server_that_is_killed_with_50_idempotent_streams_costs_none() {
    const STREAMS: usize = 50;
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "retry_lost::idempotent_streams_of_a_process", "--nocapture"])
        .env(CHILD, "")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let address = line_of(&mut lines, "listens on ").await;
    let second = Site::new("second", true).await;
    let instances = SharedInstances::default();
    instances.set([&*address]);
    let client = builder("").addresses(instances.clone()).retry(idempotent()).pool(PoolKind::Mux(3));
    let client = EchoClient::new(client.build().unwrap());
    let mut streams = JoinSet::new();
    for at in 0..STREAMS {
        let (client, call) = (client.clone(), USES[at % USES.len()]);
        streams.spawn(async move {
            let opened = Opened::begin(&client, &Context::background(), call, HANGS).await?;
            opened.finish().await.map(|answer| (call, answer))
        });
    }
    for _ in 0..STREAMS {
        line_of(&mut lines, "begun").await;
    }
    instances.set([&*address, &*second.peer.address]);
    soon(process.kill()).await.unwrap();
    while let Some(ended) = soon(streams.join_next()).await {
        let (call, answer) = ended.unwrap().unwrap();
        assert_eq!(answer, answered("second 1", call), "{call:?}");
    }
    assert_eq!(second.runs(), STREAMS, "each has run twice");
    assert_eq!(client.as_ref().pool_stats().retries, STREAMS as u64);
}

/// A peer that is no server: what it sends in response to a call, before it closes the connection; how a call ends.
#[tokio::test]
async fn a_part_of_a_response_or_a_violation_is_not_tried_again() {
    if of_ttheader_alone("bytes by hand") {
        return;
    }
    let frame = |len: u32| [&len.to_be_bytes()[..], &[0x10, 0, 0, 0, 0, 0, 0, 1]].concat();
    let rows: [(&str, Use, Vec<u8>, bool); 5] = [
        ("nothing", Use::Unary, vec![], true),
        ("a part of a frame", Use::Unary, frame(100), false),
        ("nothing", Use::Down, vec![], true),
        ("a part of a frame", Use::Down, frame(100), true),
        ("no frame", Use::Down, vec![7; 64], false),
    ];
    for (what, call, bytes, is_retried) in rows {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ask, asked) = oneshot::channel();
        let (reply, replied) = oneshot::channel();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 4096];
            // Until the request has come to its end, for which its text stands.
            let mut got = Vec::new();
            while !got.windows(HANGS.len()).any(|part| part == HANGS.as_bytes()) {
                let len = socket.read(&mut read).await.unwrap();
                got.extend_from_slice(&read[..len]);
            }
            ask.send(()).unwrap();
            replied.await.unwrap();
            socket.write_all(&bytes).await.unwrap();
            socket.shutdown().await.unwrap();
            while socket.read(&mut read).await.is_ok_and(|len| len > 0) {}
        });
        let second = Site::new("second", true).await;
        let instances = SharedInstances::default();
        instances.set([&*address]);
        let client = builder("").addresses(instances.clone()).retry(idempotent()).build().unwrap();
        let client = EchoClient::new(client);
        let opened = soon(Opened::begin(&client, &Context::background(), call, HANGS)).await.unwrap();
        soon(asked).await.unwrap();
        instances.set([&*second.proxy.address]);
        reply.send(()).unwrap();
        let outcome = outcome(opened.finish().await);
        match is_retried {
            true => assert_eq!(outcome, answered("second 1", call), "{what} {call:?}"),
            false => assert!([LOST, "12004 client"].contains(&&*outcome), "{what} {call:?}: {outcome}"),
        }
        assert_eq!(second.runs(), usize::from(is_retried), "{what} {call:?}");
    }
}
