//! Observers of calls, the same for every transport and for streams and ping-pong calls: the events of each call, what
//! an observer knows when a call starts, and a trace that two observers carry through a chain.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kitex::client::{CallProtocol, ClientBuilder, Transport};
use kitex::observe::{CallObserver, CallStart, ChainId, Observer, SERVICE_NAME, TRACEPARENT};
use kitex::{BizStatusError, Context, Error, Result, Side};
use tokio::sync::Notify;

use crate::fixture::{EchoClient, Handlers, Peer, Recorder, Refusing, Req, answer, builder, req, resp, soon};

type Way = fn(ClientBuilder) -> ClientBuilder;

/// Every way to a server.
const WAYS: [(&str, Way); 3] = [
    ("TTHeader", |client| client),
    ("framed", |client| client.call_protocol(CallProtocol::Framed)),
    ("gRPC", |client| client.transport(Transport::Grpc)),
];

/// A call, and its events at both ends.
struct Row {
    name: &'static str,
    act: fn(EchoClient) -> BoxFuture<'static, ()>,
    client: &'static str,
    server: &'static str,
}

/// A handler of a ping-pong call has begun to wait.
static PING_WAITS: Notify = Notify::const_new();

/// Ends as the message of its first request says.
fn handlers() -> Handlers {
    async fn end(ctx: Context, msg: &str) -> Result<()> {
        match msg {
            "biz" => Err(BizStatusError::new(404, "no").into()),
            "error" => Err(Error::other("failed")),
            "panic" => panic!("on purpose"),
            "wait" => ctx.until_canceled(std::future::pending()).await,
            _ => Ok(()),
        }
    }
    let ping = |ctx, req: Req| async move {
        let answer = answer(req);
        if answer.msg.as_deref() == Some("wait") {
            PING_WAITS.notify_one();
        }
        end(ctx, answer.msg.as_deref().unwrap_or_default()).await?;
        Ok(answer)
    };
    Handlers::default()
        .ping(move |ctx, req| ping(ctx, req).map(|ended| ended.map_err(|error: Error| error.into())))
        .down(|ctx, req, stream| async move {
            stream.send(&resp("", 0)).await?;
            end(ctx, req.msg.as_deref().unwrap_or_default()).await
        })
}

async fn ping(client: EchoClient, msg: &str) {
    let _ = soon(client.ping(&Context::background(), req(msg, 0))).await;
}

async fn down(client: EchoClient, msg: &str) {
    let mut down = soon(client.down(&Context::background(), req(msg, 0))).await.unwrap();
    while let Ok(Some(_)) = soon(down.recv()).await {}
}

const ROWS: &[Row] = &[
    Row {
        name: "a ping-pong call",
        act: |client| async move { ping(client, "").await }.boxed(),
        client: "start, connected, sent, header, received, finish ok",
        server: "start, connected, received, sent, finish ok",
    },
    Row {
        name: "a ping-pong call that panics",
        act: |client| async move { ping(client, "panic").await }.boxed(),
        client: "start, connected, sent, finish panic",
        server: "start, connected, received, finish panic",
    },
    Row {
        name: "a ping-pong call that is given up",
        act: |client| {
            async move {
                let (ctx, canceler) = Context::background().with_cancel();
                let call = tokio::spawn(async move { client.ping(&ctx, req("wait", 0)).await.is_err() });
                soon(PING_WAITS.notified()).await;
                canceler.cancel();
                assert!(soon(call).await.unwrap());
            }
            .boxed()
        },
        client: "start, connected, sent, finish canceled",
        server: "start, connected, received, finish canceled",
    },
    Row {
        name: "a stream",
        act: |client| async move { down(client, "").await }.boxed(),
        client: "start, stream, sent, header, received, finish ok",
        server: "start, stream, received, sent, finish ok",
    },
    Row {
        name: "a stream with a business error",
        act: |client| async move { down(client, "biz").await }.boxed(),
        client: "start, stream, sent, header, received, recv business, finish business",
        server: "start, stream, received, sent, finish business",
    },
    Row {
        name: "a stream whose handler fails",
        act: |client| async move { down(client, "error").await }.boxed(),
        client: "start, stream, sent, header, received, recv application, finish application",
        server: "start, stream, received, sent, finish application",
    },
    Row {
        name: "a stream whose handler panics",
        act: |client| async move { down(client, "panic").await }.boxed(),
        client: "start, stream, sent, header, received, recv panic, finish panic",
        server: "start, stream, received, sent, finish panic",
    },
    Row {
        name: "a stream that is canceled",
        act: |client| {
            async move {
                let (ctx, canceler) = Context::background().with_cancel();
                let mut down = client.down(&ctx, req("wait", 0)).await.unwrap();
                soon(down.recv()).await.unwrap();
                canceler.cancel();
                assert!(soon(down.recv()).await.unwrap_err().is_canceled());
            }
            .boxed()
        },
        client: "start, stream, sent, header, received, recv canceled, finish canceled",
        server: "start, stream, received, sent, finish canceled",
    },
    Row {
        name: "a stream that is sent on after it was canceled",
        act: |client| {
            async move {
                let (ctx, canceler) = Context::background().with_cancel();
                let mut bidi = client.bidi(&ctx).await.unwrap();
                bidi.send(&req("", 0)).await.unwrap();
                soon(bidi.recv()).await.unwrap();
                canceler.cancel();
                assert!(bidi.send(&req("", 1)).await.unwrap_err().is_canceled());
            }
            .boxed()
        },
        client: "start, stream, sent, header, received, send canceled, finish canceled",
        server: "start, stream, received, sent, recv canceled, finish canceled",
    },
];

#[tokio::test]
async fn an_observer_sees_the_same_events_of_a_call_over_every_transport() {
    let (at_client, at_server) = (Recorder::full(), Recorder::full());
    let observer = at_server.clone();
    let peer = Peer::with(handlers(), |server| server.observer(observer)).await;
    for (way_name, way) in WAYS {
        for row in ROWS {
            let client = peer.client_with(|client| way(client).observer(at_client.clone()));
            (row.act)(client).await;
            let what = format!("{}, {way_name}", row.name);
            assert_eq!(at_server.take().await, row.server, "{what}, server");
            assert_eq!(at_client.take().await, row.client, "{what}, client");
        }
    }
}

#[tokio::test]
async fn an_observer_sees_the_end_of_a_call_that_has_no_connection() {
    let refusing = Refusing::new();
    for (name, way) in WAYS {
        let recorder = Recorder::full();
        let client = way(builder(&refusing.address)).observer(recorder.clone()).build().unwrap();
        let (client, ctx) = (EchoClient::new(client), Context::background());
        let late = ctx.with_timeout(Duration::ZERO);
        soon(client.ping(&ctx, req("", 0))).await.unwrap_err();
        assert_eq!(recorder.take().await, "start, finish connection", "{name}, a call");
        soon(client.bidi(&ctx)).await.unwrap_err();
        assert_eq!(recorder.take().await, "start, finish connection", "{name}, a stream");
        soon(client.ping(&late, req("", 0))).await.unwrap_err();
        assert_eq!(recorder.take().await, "start, finish timeout", "{name}, a late call");
        soon(client.bidi(&late)).await.unwrap_err();
        assert_eq!(recorder.take().await, "start, finish timeout", "{name}, a late stream");
    }
}

/// Writes down what it knows when a call starts.
#[derive(Clone, Default)]
struct Starts(Arc<Mutex<Vec<String>>>);

impl Observer for Starts {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        let CallStart { side, kind, protocol, method, names, caller, callee, peer, timeout, .. } = call;
        assert_eq!(peer.is_some(), *side == Side::Server);
        let method = method.map(ToString::to_string);
        let (caller, limited) = (caller.as_deref().unwrap_or("-"), timeout.is_some());
        let (transient, persistent) =
            (call.metainfo.transient_value("T"), call.metainfo.persistent_value("P"));
        assert!(transient.is_none_or(|value| value == "1") && persistent.is_none_or(|value| value == "2"));
        let carried = transient.is_some() && persistent.is_some();
        self.0.lock().unwrap().push(format!(
            "{kind:?} {protocol} {method:?} {}.{} {caller}>{callee} limited={limited} metainfo={carried}",
            names.0, names.1
        ));
        None
    }
}

#[tokio::test]
async fn an_observer_knows_names_protocol_deadline_and_metainfo_of_a_call_that_starts() {
    let (at_client, at_server) = (Starts::default(), Starts::default());
    let observer = at_server.clone();
    let peer = Peer::with(Handlers::default(), |server| server.observer(observer)).await;
    let ctx = Context::background().with_transient("T", "1").with_persistent("P", "2");
    let ctx = ctx.with_timeout(Duration::from_secs(60));
    let rows = [
        // A frame of TTHeader Streaming says no caller, a framed message neither caller, deadline nor metainfo.
        ("TTHeaderStreaming", "TTHeader", "-", "ServiceA", true),
        ("TTHeaderStreaming", "Framed", "-", "-", false),
        ("GRPC", "GRPC", "ServiceA", "ServiceA", true),
    ];
    for ((_, way), (of_stream, of_call, by_stream, by_call, carried)) in WAYS.into_iter().zip(rows) {
        let client = peer.client_with(|client| way(client).observer(at_client.clone()));
        soon(client.ping(&ctx, req("", 0))).await.unwrap();
        let mut down = soon(client.down(&ctx, req("", 0))).await.unwrap();
        while soon(down.recv()).await.unwrap().is_some() {}
        let take = |starts: &Starts| std::mem::take(&mut *starts.0.lock().unwrap());
        let line = |kind, protocol, method, caller, carried: bool, service: &str| {
            format!(
                "{kind} {protocol} Some(\"Echo.{method}\") {service}.{method} {caller}>ServiceB \
                 limited={carried} metainfo={carried}"
            )
        };
        assert_eq!(
            take(&at_client),
            [
                line("PingPong", of_call, "Ping", "ServiceA", true, "Echo"),
                line("Stream", of_stream, "Down", "ServiceA", true, "Echo")
            ]
        );
        let service = if of_call == "Framed" { "" } else { "Echo" };
        assert_eq!(
            take(&at_server),
            [
                line("PingPong", of_call, "Ping", by_call, carried, service),
                line("Stream", of_stream, "Down", by_stream, true, "Echo")
            ]
        );
    }
}

/// A span: the id of its trace and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(u128, u64);

/// What a crate for traces would do: reads and writes `traceparent`, and leaves its span to the handler.
#[derive(Clone, Default)]
struct Tracer(Arc<Mutex<Vec<Started>>>);

/// Both ends of a call, its span and its parent's.
type Started = (String, Span, Option<u64>);

impl Observer for Tracer {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        let received = || {
            let value = call.metainfo.transient_folded(TRACEPARENT)?;
            let span = std::str::from_utf8(value.get(36..52)?).ok()?;
            Some(Span(ChainId::of(call.metainfo)?.number(), u64::from_str_radix(span, 16).ok()?))
        };
        let parent = match call.side {
            Side::Client => call.extensions.get::<Span>().copied(),
            Side::Server => received(),
        };
        let mut spans = self.0.lock().unwrap();
        let span = Span(parent.map_or(0xabc, |parent| parent.0), spans.len() as u64 + 1);
        let name = format!("{:?} {}>{}", call.side, call.caller.as_deref().unwrap_or("-"), call.callee);
        spans.push((name, span, parent.map(|parent| parent.1)));
        match call.side {
            Side::Client => {
                let (caller, value) = (call.caller.as_deref().unwrap_or_default().to_owned(), span);
                call.metainfo.set_transient(TRACEPARENT, format!("00-{:032x}-{:016x}-01", value.0, value.1));
                call.metainfo.set_transient(SERVICE_NAME, caller);
            }
            Side::Server => call.extensions.insert(span),
        }
        None
    }
}

/// A (tracer) -> B (tracer) -> C (none) -> D (tracer), each hop by the transport of its row.
async fn chain(ways: [Way; 3]) -> Vec<Started> {
    let tracer = Tracer::default();
    let observer = tracer.clone();
    let d = Peer::named("D", Handlers::default(), |server| server.observer(observer)).await;
    let relay = |client: EchoClient| {
        Handlers::default().down(move |ctx, req, stream| {
            let client = client.clone();
            async move {
                let mut below = client.down(&ctx, req).await?;
                while let Some(message) = below.recv().await? {
                    stream.send(&message).await?;
                }
                // Any number of them: each is a child of the same span.
                Ok(())
            }
        })
    };
    let client = |to: &Peer, name: &str, way: Way| way(builder(&to.address)).caller(name.to_owned());
    let to_d = client(&d, "C", ways[2]).build().unwrap();
    let c = Peer::named("C", relay(EchoClient::new(to_d)), |server| server).await;
    let to_c = client(&c, "B", ways[1]).observer(tracer.clone()).build().unwrap();
    let observer = tracer.clone();
    let b = Peer::named("B", relay(EchoClient::new(to_c)), |server| server.observer(observer)).await;
    let to_b = client(&b, "A", ways[0]).observer(tracer.clone()).build().unwrap();
    let mut down = soon(EchoClient::new(to_b).down(&Context::background(), req("", 2))).await.unwrap();
    while soon(down.recv()).await.unwrap().is_some() {}
    std::mem::take(&mut *tracer.0.lock().unwrap())
}

#[tokio::test]
async fn an_observer_carries_a_trace_through_a_chain_and_past_a_service_without_one() {
    let (tt, grpc) = (WAYS[0].1, WAYS[2].1);
    for ways in [[tt, tt, tt], [grpc, grpc, grpc], [tt, grpc, tt], [grpc, tt, grpc]] {
        let spans = chain(ways).await;
        // The callee of a client is the name that it calls the service by.
        let expected = [
            ("Client A>ServiceB".to_owned(), Span(0xabc, 1), None),
            ("Server A>B".to_owned(), Span(0xabc, 2), Some(1)),
            ("Client B>ServiceB".to_owned(), Span(0xabc, 3), Some(2)),
            // C passes the trace on, and its own name as the caller's.
            ("Server C>D".to_owned(), Span(0xabc, 4), Some(3)),
        ];
        assert_eq!(spans, expected);
    }
}

#[tokio::test]
async fn an_extension_of_an_observer_is_in_the_context_of_the_handler() {
    let (report, mut reported) = crate::fixture::reports();
    let (of_stream, of_call) = (report.clone(), report);
    let handlers = Handlers::default()
        .down(move |ctx, _, _| {
            of_stream.send(ctx.extension::<Span>().copied());
            async { Ok(()) }
        })
        .ping(move |ctx, req| {
            of_call.send(ctx.with_timeout(Duration::from_secs(9)).extension::<Span>().copied());
            async { Ok(answer(req)) }
        });
    let peer = Peer::with(handlers, |server| server.observer(Tracer::default())).await;
    for (name, way) in WAYS {
        let client = peer.client_with(way);
        down(client.clone(), "").await;
        assert!(reported.next().await.is_some(), "{name}, a stream");
        ping(client, "").await;
        assert!(reported.next().await.is_some(), "{name}, a call");
    }
    let ctx = Context::background().with_extension(Span(1, 2));
    assert_eq!(ctx.extension::<Span>(), Some(&Span(1, 2)));
    assert_eq!(ctx.detach().extension::<Span>(), Some(&Span(1, 2)));
    assert_eq!(Context::background().extension::<Span>(), None);
}
