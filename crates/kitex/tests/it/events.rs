//! The events of a stream: each once, in order, on every path to its end; close callbacks the same. What is the same
//! for every transport and for ping-pong calls is in `observers.rs`.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kitex::client::Retry;
use kitex::server::{OnCancel, ServerBuilder};
use kitex::{BidiStreamingClient, BidiStreamingServer, BizStatusError, Context, Error, Result};
use tokio::net::TcpListener;
use ttheader_codec::FrameType;

use crate::fixture::{
    EchoClient, Handlers, Peer, Proxy, Recorder, Refusing, Req, Resp, Unreachable, Wire, answer, brief,
    builder, check_late, ended, reports, req, resp, soon, until,
};
use crate::fixture::{by, of_ttheader_alone};

type Stream = BidiStreamingClient<Req, Resp>;
type Handler = fn(Context, BidiStreamingServer<Req, Resp>) -> BoxFuture<'static, Result<()>>;
/// What a client does with its stream; the server's events say when that has begun.
type Act = fn(Stream, Recorder) -> BoxFuture<'static, ()>;

/// How a stream runs, and its events.
struct Row {
    name: &'static str,
    handler: Handler,
    act: Act,
    client: &'static str,
    server: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        name: "a clean end",
        handler: |_, stream| echo(stream).boxed(),
        act: |stream, _| two_and_close(stream).boxed(),
        client: "start, sent, header, received, sent, received, finish ok",
        server: "start, received, sent, received, sent, finish ok",
    },
    Row {
        name: "a clean end without a message",
        handler: |_, _| async { Ok(()) }.boxed(),
        act: |stream, _| drain(stream).boxed(),
        client: "start, header, finish ok",
        server: "start, finish ok",
    },
    Row {
        name: "a business error",
        handler: |_, _| async { Err(BizStatusError::new(404, "no").into()) }.boxed(),
        act: |stream, _| drain(stream).boxed(),
        client: "start, header, finish biz 404",
        server: "start, finish biz 404",
    },
    Row {
        name: "an error of the handler's",
        handler: |_, stream| one_then(stream, |()| Err(Error::other("failed"))).boxed(),
        act: |stream, _| drain(stream).boxed(),
        client: "start, header, received, finish 12001 client",
        server: "start, sent, finish other failed",
    },
    Row {
        name: "a panic",
        handler: |_, stream| one_then(stream, |()| panic!("on purpose")).boxed(),
        act: |stream, _| drain(stream).boxed(),
        client: "start, header, received, finish 12001 client",
        server: "start, sent, finish remote panic: [happened in biz handler, method=Echo.Bidi, please check \
                 the panic at the server side] on purpose",
    },
    Row {
        name: "a drop before anything came",
        handler: |_, stream| recv_all(stream).boxed(),
        act: |stream, at_server| {
            async move {
                started(&at_server, 1).await;
                drop(stream);
            }
            .boxed()
        },
        client: "start, finish 12007 client",
        server: "start, finish 12007 server ServiceA",
    },
    Row {
        name: "a drop after a message",
        handler: |_, stream| echo(stream).boxed(),
        act: |mut stream, _| {
            async move {
                stream.send(&req("", 0)).await.unwrap();
                soon(stream.recv()).await.unwrap();
                drop(stream);
            }
            .boxed()
        },
        client: "start, sent, header, received, finish 12007 client",
        server: "start, received, sent, finish 12007 server ServiceA",
    },
    Row {
        name: "a drop of the halves, one after the other",
        handler: |_, stream| echo(stream).boxed(),
        act: |stream, at_server| {
            async move {
                let (sender, receiver) = stream.split();
                started(&at_server, 1).await;
                drop(receiver);
                assert_eq!(ended(&sender.send(&req("", 0)).await), "12007 client");
                drop(sender);
            }
            .boxed()
        },
        client: "start, finish 12007 client",
        server: "start, finish 12007 server ServiceA",
    },
    Row {
        name: "a cancel whose handler ends well",
        handler: |ctx, stream| {
            async move {
                stream.send(&resp("", 0)).await?;
                ctx.canceled().await;
                Ok(())
            }
            .boxed()
        },
        act: |mut stream, _| {
            async move {
                soon(stream.recv()).await.unwrap();
                drop(stream);
            }
            .boxed()
        },
        client: "start, header, received, finish 12007 client",
        server: "start, sent, finish 12007 server ServiceA",
    },
    Row {
        name: "a cancel whose handler ends otherwise",
        handler: |ctx, stream| {
            async move {
                stream.send(&resp("", 0)).await?;
                ctx.canceled().await;
                Err(Error::other("gave up"))
            }
            .boxed()
        },
        act: |mut stream, _| {
            async move {
                soon(stream.recv()).await.unwrap();
                drop(stream);
            }
            .boxed()
        },
        client: "start, header, received, finish 12007 client",
        server: "start, sent, finish 12007 server ServiceA",
    },
    Row {
        name: "a handler that ends before its requests do",
        handler: |_, stream| one_then(stream, |()| Ok(())).boxed(),
        act: |stream, _| drain(stream).boxed(),
        client: "start, header, received, finish ok",
        server: "start, sent, finish ok",
    },
];

impl Row {
    /// The client's events; a handler's error is a status over gRPC.
    fn client(&self) -> String {
        by(self.client.to_owned(), self.client.replace("12001 client", "grpc 13"))
    }
}

async fn echo(mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
    while let Some(req) = stream.recv().await? {
        stream.send(&answer(req)).await?;
    }
    Ok(())
}

async fn recv_all(mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
    while stream.recv().await?.is_some() {}
    Ok(())
}

async fn one_then(stream: BidiStreamingServer<Req, Resp>, end: fn(()) -> Result<()>) -> Result<()> {
    stream.send(&resp("", 0)).await?;
    end(())
}

async fn two_and_close(mut stream: Stream) {
    for seq in 0..2 {
        stream.send(&req("", seq)).await.unwrap();
        soon(stream.recv()).await.unwrap();
    }
    stream.close_send();
    drain(stream).await;
}

/// Receives everything, then once more.
async fn drain(mut stream: Stream) {
    while let Ok(Some(_)) = soon(stream.recv()).await {}
    let _ = soon(stream.recv()).await;
}

/// Opens a connection, by a stream that is canceled.
async fn connect(client: &EchoClient, at_server: &Recorder) {
    let bidi = client.bidi(&Context::background()).await.unwrap();
    bidi.send(&req("", 0)).await.unwrap();
    started(at_server, 1).await;
    drop(bidi);
    at_server.finished(1).await;
}

/// Waits until a server has seen the start of so many streams: a gRPC stream that is dropped before its opening is written is
/// not sent.
async fn started(at_server: &Recorder, streams: usize) {
    until(|| at_server.words().iter().filter(|word| *word == "start").count() >= streams).await;
}

/// Makes a call, and forgets it: over gRPC a client learns with the first response of a connection that the server reads codes
/// of cancels.
async fn greet(client: &EchoClient, recorders: &[&Recorder]) {
    soon(client.ping(&Context::background(), req("", 0))).await.unwrap();
    for recorder in recorders {
        recorder.take().await;
    }
}

/// A server and a client to it, both watched.
async fn watched(handlers: Handlers) -> (Peer, EchoClient, Recorder, Recorder) {
    let (at_client, at_server) = (Recorder::default(), Recorder::default());
    let peer = Peer::with(handlers, |server| server.observer(at_server.clone())).await;
    let client = peer.client_with(|client| client.observer(at_client.clone()));
    greet(&client, &[&at_client, &at_server]).await;
    (peer, client, at_client, at_server)
}

#[tokio::test]
async fn observer_receives_each_event_once_and_in_order() {
    for row in ROWS {
        let (peer, client, at_client, at_server) = watched(Handlers::default().bidi(row.handler)).await;
        (row.act)(client.bidi(&Context::background()).await.unwrap(), at_server.clone()).await;
        assert_eq!(at_client.finished(1).await, row.client(), "{}, client", row.name);
        assert_eq!(at_server.finished(1).await, row.server, "{}, server", row.name);
        // No further event after everything has been dropped.
        drop(client);
        peer.shut_down().await;
        assert_eq!(at_client.finished(1).await, row.client(), "{}, client, later", row.name);
        assert_eq!(at_server.finished(1).await, row.server, "{}, server, later", row.name);
    }
}

#[tokio::test]
async fn observer_receives_the_same_events_under_every_on_cancel() {
    for policy in [OnCancel::Notify, OnCancel::NotifyThenDrop(Duration::ZERO), OnCancel::Drop] {
        let at_server = Recorder::default();
        let (reporter, mut reported) = reports();
        let handlers = Handlers::default().bidi(move |ctx, _| {
            let reporter = reporter.clone();
            async move {
                reporter.send(());
                ctx.canceled().await;
                // Dropped here in some rows.
                tokio::task::yield_now().await;
                Ok(())
            }
        });
        let server = at_server.clone();
        let peer = Peer::with(handlers, |builder| builder.observer(server).on_cancel(policy)).await;
        let client = peer.client();
        greet(&client, &[&at_server]).await;
        connect(&client, &at_server).await;
        reported.next().await;
        let stream = client.bidi(&Context::background()).await.unwrap();
        reported.next().await;
        drop(stream);
        let words = at_server.finished(2).await;
        assert!(words.ends_with(", start, finish 12007 server ServiceA"), "{policy:?}: {words}");
    }
}

#[tokio::test]
async fn observer_receives_messages_in_every_mode() {
    let (_peer, client, at_client, at_server) = watched(Handlers::default()).await;
    let ctx = Context::background();
    let mut up = client.up(&ctx).await.unwrap();
    up.send(&req("", 0)).await.unwrap();
    up.send(&req("", 1)).await.unwrap();
    soon(up.close_and_recv()).await.unwrap();
    assert_eq!(at_client.finished(1).await, "start, sent, sent, header, received, finish ok");
    assert_eq!(at_server.finished(1).await, "start, received, received, sent, finish ok");

    let mut down = client.down(&ctx, req("", 2)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    let words = at_client.finished(2).await;
    assert!(words.ends_with(", start, sent, header, received, received, finish ok"), "{words}");
    let words = at_server.finished(2).await;
    assert!(words.ends_with(", start, received, sent, sent, finish ok"), "{words}");
}

#[tokio::test]
async fn observer_receives_a_deadline_and_a_recv_timeout_as_the_end() {
    // What it returns says which end it has seen.
    let waits: Handler = |ctx, _| async move { Err(ctx.canceled().await.into()) }.boxed();
    let (_peer, client, at_client, at_server) = watched(Handlers::default().bidi(waits)).await;
    let short = Duration::from_millis(50);
    connect(&client, &at_server).await;

    let late = Context::background().with_timeout(Duration::from_millis(400));
    let mut stream = client.bidi(&late).await.unwrap();
    assert_eq!(ended(&soon(stream.recv()).await), "12015 client");
    assert!(at_client.finished(2).await.ends_with("start, finish 12015 client"));
    let seen = at_server.finished(2).await;
    let (_, end) = seen.rsplit_once("start, finish ").unwrap_or_else(|| panic!("{seen}"));
    check_late(end, "12015 server ServiceA", "finish");

    let impatient = client.with_recv_timeout(kitex::RecvTimeout::new(short));
    let mut stream = impatient.bidi(&Context::background()).await.unwrap();
    started(&at_server, 3).await;
    assert_eq!(ended(&soon(stream.recv()).await), "12014 client");
    assert!(at_client.finished(3).await.ends_with("start, finish 12014 client"));
    assert!(at_server.finished(3).await.ends_with("start, finish 12014 server ServiceA"));

    // A timeout that keeps the stream is not an end.
    let keeps = kitex::RecvTimeout { timeout: short, disable_cancel_remote: true };
    let mut stream = client.with_recv_timeout(keeps).bidi(&Context::background()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(ended(&soon(stream.recv()).await), "12014 client");
    }
    assert!(at_client.words().join(", ").ends_with("finish 12014 client, start"));
    drop(stream);
    assert!(at_client.finished(4).await.ends_with("start, finish 12007 client"));
}

#[tokio::test]
async fn observer_receives_a_lost_connection_as_the_end() {
    let (peer, _, at_client, at_server) = watched(Handlers::default()).await;
    let proxy = Proxy::to(&peer.address).await;
    let client = builder(&proxy.address).observer(at_client.clone()).build().unwrap();
    let mut stream = EchoClient::new(client).bidi(&Context::background()).await.unwrap();
    stream.send(&req("", 0)).await.unwrap();
    soon(stream.recv()).await.unwrap();
    proxy.cut();
    assert_eq!(ended(&soon(stream.recv()).await), "12006 client");
    assert_eq!(at_client.finished(1).await, "start, sent, header, received, finish 12006 client");
    assert_eq!(at_server.finished(1).await, "start, received, sent, finish 12013 nowhere");
}

#[tokio::test]
async fn max_concurrent_streams_refuses_with_an_event_at_the_client() {
    if of_ttheader_alone("a stream waits for a place") {
        return;
    }
    let at_server = Recorder::default();
    let server = at_server.clone();
    let refuses = |builder: ServerBuilder| builder.observer(server).max_concurrent_streams(1);
    let peer = Peer::with(Handlers::default(), refuses).await;
    let at_client = Recorder::default();
    let client = peer.client_with(|client| client.observer(at_client.clone()).retry(Retry::none()));
    let mut first = client.bidi(&Context::background()).await.unwrap();
    first.send(&req("", 0)).await.unwrap();
    soon(first.recv()).await.unwrap();
    let mut second = client.bidi(&Context::background()).await.unwrap();
    assert_eq!(ended(&soon(second.recv()).await), "12900 client");
    assert!(at_client.finished(1).await.ends_with("start, finish 12900 client"));
    assert_eq!(at_server.words().join(", "), "start, received, sent", "of the first, and no other");
}

#[tokio::test]
async fn an_observer_sees_the_start_and_the_finish_of_a_stream_that_was_never_opened() {
    let at_client = Recorder::default();
    let refusing = Refusing::new();
    let client = builder(&refusing.address).observer(at_client.clone()).build().unwrap();
    let (echo, ctx) = (EchoClient::new(client), Context::background());
    assert_eq!(ended(&soon(echo.bidi(&ctx)).await), "connect");
    assert_eq!(ended(&soon(echo.down(&ctx, req("", 0))).await), "connect");
    let late = ctx.with_timeout(Duration::ZERO);
    assert_eq!(ended(&soon(echo.bidi(&late)).await), "12015 client");
    let (canceled, canceler) = ctx.with_cancel();
    canceler.cancel();
    assert_eq!(ended(&soon(echo.bidi(&canceled)).await), "12007 client");
    assert_eq!(
        at_client.words().join(", "),
        "start, finish connect, start, finish connect, start, finish 12015 client, start, finish 12007 client"
    );
    // An opening that is given up.
    let unreachable = Unreachable::new().await;
    let client = EchoClient::new(builder(&unreachable.address).observer(at_client.clone()).build().unwrap());
    assert!(client.bidi(&Context::background()).now_or_never().is_none());
    assert!(at_client.finished(5).await.ends_with("start, finish 12007 client"));
}

/// A Send that finds the end first does not report it before the messages that were received.
#[tokio::test]
async fn observer_receives_nothing_after_finish() {
    for end in [(|()| Ok(())) as fn(()) -> Result<()>, |()| Err(Error::other("failed"))] {
        let handlers = Handlers::default().bidi(move |_, stream| one_then(stream, end));
        let (_peer, client, at_client, _) = watched(handlers).await;
        let mut stream = client.bidi(&Context::background()).await.unwrap();
        soon(async {
            while stream.send(&req("", 0)).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(soon(stream.recv()).await.unwrap().is_some(), "the message stays to be taken");
        let _ = soon(stream.recv()).await;
        drop(stream);
        let words = at_client.finished(1).await;
        let words = words.replace("sent, ", "");
        assert!(words.starts_with("start, header, received, finish "), "{words}");
    }
}

#[tokio::test]
async fn meta_frames_are_shown_to_observers_only() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let at_client = Recorder::default();
    let client = EchoClient::new(builder(&address).observer(at_client.clone()).build().unwrap());
    let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
    let mut wire = Wire::accept(&listener).await;
    wire.next_of(FrameType::Trailer).await;
    wire.frame(1, FrameType::Meta, &[(b"mk", b"before")], b"one").await;
    wire.frame(1, FrameType::Header, &[(b"hk", b"hv")], b"").await;
    for id in [0, 77] {
        wire.frame(id, FrameType::Meta, &[(b"mk", b"of no stream")], b"").await;
    }
    wire.message(1, &resp("", 0)).await;
    wire.frame(1, FrameType::Meta, &[(b"mk", b"after")], b"two").await;
    wire.frame(1, FrameType::Trailer, &[], b"").await;
    assert!(soon(down.recv()).await.unwrap().is_some());
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    let words = at_client.finished(1).await;
    let metas: Vec<_> = words.split(", ").filter(|word| word.starts_with("meta")).collect();
    assert_eq!(metas, ["meta before one", "meta after two"], "{words}");
    assert!(words.ends_with("received, finish ok"), "{words}");
}

/// A close callback, registered on any handle of a stream.
#[tokio::test]
async fn close_callback_is_called_once_on_every_path() {
    for row in ROWS {
        let (reporter, mut reported) = reports();
        let (of_server, handler) = (reporter.clone(), row.handler);
        let handlers = Handlers::default().bidi(move |ctx, stream| {
            let reporter = of_server.clone();
            stream.on_close(move |error| reporter.send(("server", error.map_or("ok".to_owned(), brief))));
            handler(ctx, stream)
        });
        let at_server = Recorder::default();
        let peer = Peer::with(handlers, |server| server.observer(at_server.clone())).await;
        let client = peer.client();
        greet(&client, &[&at_server]).await;
        let stream = client.bidi(&Context::background()).await.unwrap();
        for name in ["client", "client again"] {
            let reporter = reporter.clone();
            stream.on_close(move |error| reporter.send((name, error.map_or("ok".to_owned(), brief))));
        }
        (row.act)(stream, at_server).await;
        let mut calls = [reported.next().await, reported.next().await, reported.next().await];
        calls.sort();
        let finish = |words: &str| words.rsplit_once("finish ").unwrap().1.to_owned();
        let (client, server) = (finish(&row.client()), finish(row.server));
        let expected = [("client", client.clone()), ("client again", client), ("server", server)];
        assert_eq!(calls, expected, "{}", row.name);
        peer.shut_down().await;
        assert!(reported.waiting().is_empty(), "{}", row.name);
    }
}

#[tokio::test]
async fn close_callback_added_late_is_called_at_once() {
    let peer = Peer::start(Handlers::default()).await;
    let mut down = peer.client().down(&Context::background(), req("", 1)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    let (reporter, mut reported) = reports();
    down.on_close(move |error| reporter.send(error.map_or("ok".to_owned(), brief)));
    assert_eq!(reported.next().await, "ok");

    let (ctx, canceler) = Context::background().with_cancel();
    let mut bidi = peer.client().bidi(&ctx).await.unwrap();
    canceler.cancel();
    assert_eq!(ended(&soon(bidi.recv()).await), "12007 client");
    let (reporter, mut reported) = reports();
    bidi.on_close(move |error| reporter.send(error.map_or("ok".to_owned(), brief)));
    assert_eq!(reported.next().await, "12007 client");
}
