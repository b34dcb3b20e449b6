//! What observers are told of a stream: each event once, in order, on every path to its end; close
//! callbacks the same; of a stream that was never opened nothing.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kitex::server::{OnCancel, ServerBuilder};
use kitex::{BidiStreamingClient, BidiStreamingServer, BizStatusError, Context, Error, Result};
use tokio::net::TcpListener;
use ttheader_codec::FrameType;

use crate::fixture::{
    EchoClient, Handlers, Nobody, Peer, Proxy, Recorder, Req, Resp, Wire, answer, brief, builder, ended,
    reports, req, resp, soon,
};

type Stream = BidiStreamingClient<Req, Resp>;
type Handler = fn(Context, BidiStreamingServer<Req, Resp>) -> BoxFuture<'static, Result<()>>;
type Act = fn(Stream) -> BoxFuture<'static, ()>;

/// A way through a stream's life, and what is told on it.
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
        act: |stream| two_and_close(stream).boxed(),
        client: "start, sent, header, received, sent, received, finish ok",
        server: "start, received, sent, received, sent, finish ok",
    },
    Row {
        name: "a clean end without a message",
        handler: |_, _| async { Ok(()) }.boxed(),
        act: |stream| drain(stream).boxed(),
        client: "start, header, finish ok",
        server: "start, finish ok",
    },
    Row {
        name: "a business error",
        handler: |_, _| async { Err(BizStatusError::new(404, "no").into()) }.boxed(),
        act: |stream| drain(stream).boxed(),
        client: "start, header, finish biz 404",
        server: "start, finish biz 404",
    },
    Row {
        name: "an error of the handler's",
        handler: |_, stream| one_then(stream, |()| Err(Error::other("failed"))).boxed(),
        act: |stream| drain(stream).boxed(),
        client: "start, header, received, finish 12001 client",
        server: "start, sent, finish other failed",
    },
    Row {
        name: "a panic",
        handler: |_, stream| one_then(stream, |()| panic!("on purpose")).boxed(),
        act: |stream| drain(stream).boxed(),
        client: "start, header, received, finish 12001 client",
        server: "start, sent, finish remote panic: [happened in biz handler, method=Echo.Bidi, please check \
                 the panic at the server side] on purpose",
    },
    Row {
        name: "a drop before anything came",
        handler: |_, stream| recv_all(stream).boxed(),
        act: |stream| async move { drop(stream) }.boxed(),
        client: "start, finish 12007 client",
        server: "start, finish 12007 server ServiceA",
    },
    Row {
        name: "a drop after a message",
        handler: |_, stream| echo(stream).boxed(),
        act: |mut stream| {
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
        act: |stream| {
            async move {
                let (sender, receiver) = stream.split();
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
        act: |mut stream| {
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
        act: |mut stream| {
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
        act: |stream| drain(stream).boxed(),
        client: "start, header, received, finish ok",
        server: "start, sent, finish ok",
    },
];

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

/// Takes everything, and asks once more.
async fn drain(mut stream: Stream) {
    while let Ok(Some(_)) = soon(stream.recv()).await {}
    let _ = soon(stream.recv()).await;
}

/// A server and a client to it, both watched.
async fn watched(handlers: Handlers) -> (Peer, EchoClient, Recorder, Recorder) {
    let (at_client, at_server) = (Recorder::default(), Recorder::default());
    let peer = Peer::with(handlers, |server| server.observer(at_server.clone())).await;
    let client = peer.client_with(|client| client.observer(at_client.clone()));
    (peer, client, at_client, at_server)
}

#[tokio::test]
async fn each_event_is_told_once_and_in_order_on_every_path() {
    for row in ROWS {
        let (peer, client, at_client, at_server) = watched(Handlers::default().bidi(row.handler)).await;
        (row.act)(client.bidi(&Context::background()).await.unwrap()).await;
        assert_eq!(at_client.finished(1).await, row.client, "{}, client", row.name);
        assert_eq!(at_server.finished(1).await, row.server, "{}, server", row.name);
        // Nothing follows when everything has gone.
        drop(client);
        peer.shut_down().await;
        assert_eq!(at_client.finished(1).await, row.client, "{}, client, later", row.name);
        assert_eq!(at_server.finished(1).await, row.server, "{}, server, later", row.name);
    }
}

#[tokio::test]
async fn every_policy_tells_the_same_of_a_cancel() {
    for policy in [OnCancel::Notify, OnCancel::NotifyThenDrop(Duration::ZERO), OnCancel::Drop] {
        let at_server = Recorder::default();
        let (tell, mut told) = reports();
        let handlers = Handlers::default().bidi(move |ctx, _| {
            let tell = tell.clone();
            async move {
                tell.tell(());
                ctx.canceled().await;
                // Dropped here, if it is to be.
                tokio::task::yield_now().await;
                Ok(())
            }
        });
        let server = at_server.clone();
        let peer = Peer::with(handlers, |builder| builder.observer(server).on_cancel(policy)).await;
        let stream = peer.client().bidi(&Context::background()).await.unwrap();
        told.next().await;
        drop(stream);
        assert_eq!(at_server.finished(1).await, "start, finish 12007 server ServiceA", "{policy:?}");
    }
}

#[tokio::test]
async fn the_other_modes_tell_their_messages_too() {
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

    // Streams only: a call has its middleware.
    let before = at_client.words().len();
    soon(client.unary(&ctx, req("", 0))).await.unwrap();
    assert_eq!(at_client.words().len(), before);
}

#[tokio::test]
async fn a_deadline_and_a_recv_timeout_are_told_as_the_end() {
    let waits: Handler = |ctx, _| {
        async move {
            ctx.canceled().await;
            Ok(())
        }
        .boxed()
    };
    let (_peer, client, at_client, at_server) = watched(Handlers::default().bidi(waits)).await;
    let short = Duration::from_millis(50);
    drop(client.bidi(&Context::background()).await.unwrap());
    at_server.finished(1).await;

    let late = Context::background().with_timeout(Duration::from_millis(400));
    let mut stream = client.bidi(&late).await.unwrap();
    assert_eq!(ended(&soon(stream.recv()).await), "12015 client");
    assert!(at_client.finished(2).await.ends_with("start, finish 12015 client"));
    assert!(at_server.finished(2).await.ends_with("start, finish 12015 server ServiceA"));

    let impatient = client.with_recv_timeout(kitex::RecvTimeout::new(short));
    let mut stream = impatient.bidi(&Context::background()).await.unwrap();
    assert_eq!(ended(&soon(stream.recv()).await), "12014 client");
    assert!(at_client.finished(3).await.ends_with("start, finish 12014 client"));
    assert!(at_server.finished(3).await.ends_with("start, finish 12014 server ServiceA"));

    // One that keeps the stream is no end.
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
async fn a_connection_that_is_lost_is_told_as_the_end() {
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
async fn a_stream_that_is_refused_is_told_where_it_was_begun() {
    let at_server = Recorder::default();
    let server = at_server.clone();
    let refuses = |builder: ServerBuilder| builder.observer(server).max_concurrent_streams(1);
    let peer = Peer::with(Handlers::default(), refuses).await;
    let at_client = Recorder::default();
    let client = peer.client_with(|client| client.observer(at_client.clone()));
    let mut first = client.bidi(&Context::background()).await.unwrap();
    first.send(&req("", 0)).await.unwrap();
    soon(first.recv()).await.unwrap();
    let mut second = client.bidi(&Context::background()).await.unwrap();
    assert_eq!(ended(&soon(second.recv()).await), "12900 client");
    assert!(at_client.finished(1).await.ends_with("start, finish 12900 client"));
    assert_eq!(at_server.words().join(", "), "start, received, sent", "of the first, and no other");
}

#[tokio::test]
async fn of_a_stream_that_was_never_opened_nothing_is_told() {
    let at_client = Recorder::default();
    let nobody = Nobody::new();
    let client = builder(&nobody.address).observer(at_client.clone()).build().unwrap();
    let (echo, ctx) = (EchoClient::new(client), Context::background());
    assert_eq!(ended(&soon(echo.bidi(&ctx)).await), "connect");
    assert_eq!(ended(&soon(echo.down(&ctx, req("", 0))).await), "connect");
    let late = ctx.with_timeout(Duration::ZERO);
    assert_eq!(ended(&soon(echo.bidi(&late)).await), "12015 client");
    let (canceled, canceler) = ctx.with_cancel();
    canceler.cancel();
    assert_eq!(ended(&soon(echo.bidi(&canceled)).await), "12007 client");
    assert!(at_client.words().is_empty(), "{:?}", at_client.words());
}

/// A Send that finds the end first is no reason to tell of it before the messages that came.
#[tokio::test]
async fn nothing_is_told_behind_the_finish() {
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
async fn meta_frames_are_shown_to_observers_and_to_nobody_else() {
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
        wire.frame(id, FrameType::Meta, &[(b"mk", b"of nobody")], b"").await;
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

/// A callback of a stream, of whichever handle it was hung on.
#[tokio::test]
async fn a_close_callback_is_called_once_on_every_path() {
    for row in ROWS {
        let (tell, mut told) = reports();
        let (of_server, handler) = (tell.clone(), row.handler);
        let handlers = Handlers::default().bidi(move |ctx, stream| {
            let tell = of_server.clone();
            stream.on_close(move |error| tell.tell(("server", error.map_or("ok".to_owned(), brief))));
            handler(ctx, stream)
        });
        let peer = Peer::start(handlers).await;
        let stream = peer.client().bidi(&Context::background()).await.unwrap();
        for name in ["client", "client again"] {
            let tell = tell.clone();
            stream.on_close(move |error| tell.tell((name, error.map_or("ok".to_owned(), brief))));
        }
        (row.act)(stream).await;
        let mut calls = [told.next().await, told.next().await, told.next().await];
        calls.sort();
        let finish = |words: &'static str| words.rsplit_once("finish ").unwrap().1.to_owned();
        let (client, server) = (finish(row.client), finish(row.server));
        let expected = [("client", client.clone()), ("client again", client), ("server", server)];
        assert_eq!(calls, expected, "{}", row.name);
        peer.shut_down().await;
        assert!(told.waiting().is_empty(), "{}", row.name);
    }
}

#[tokio::test]
async fn a_close_callback_that_comes_late_is_called_at_once() {
    let peer = Peer::start(Handlers::default()).await;
    let mut down = peer.client().down(&Context::background(), req("", 1)).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    let (tell, mut told) = reports();
    down.on_close(move |error| tell.tell(error.map_or("ok".to_owned(), brief)));
    assert_eq!(told.next().await, "ok");

    let (ctx, canceler) = Context::background().with_cancel();
    let mut bidi = peer.client().bidi(&ctx).await.unwrap();
    canceler.cancel();
    assert_eq!(ended(&soon(bidi.recv()).await), "12007 client");
    let (tell, mut told) = reports();
    bidi.on_close(move |error| tell.tell(error.map_or("ok".to_owned(), brief)));
    assert_eq!(told.next().await, "12007 client");
}
