//! Middleware at clients and servers: around a call or stream, for each message sent, for each received. Their order, and
//! what each may change or refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt;
use kitex::bytes::{BufMut, Bytes, BytesMut};
use kitex::client::Transport;
use kitex::kitex_thrift::Payload;
use kitex::middleware::{Invoke, MessageLayer, RawStream};
use kitex::observe::StreamInfo;
use kitex::{BizStatusError, Call, CallOptions, Context, Error, Method, Response, Result, Service};
use tokio::sync::Semaphore;
use tower_layer::Layer;

use crate::fixture::by;
use crate::fixture::{
    EchoClient, Handlers, Peer, Refusing, Reporter, Req, Resp, answer, builder, ended, reports, req, resp,
    soon,
};

type Words = Reporter<String>;

/// Reports each call on its way in and out.
#[derive(Clone)]
struct Named(&'static str, Words);

struct Around<T> {
    inner: T,
    layer: Named,
}

impl<T> Layer<T> for Named {
    type Service = Around<T>;

    fn layer(&self, inner: T) -> Around<T> {
        Around { inner, layer: self.clone() }
    }
}

impl Named {
    fn enter(&self, method: &Method) {
        self.1.send(format!("{} > {}", self.0, method.name()));
    }

    fn leave<T>(&self, result: &Result<T>) {
        self.1.send(format!("{} < {}", self.0, ended(result)));
    }
}

#[kitex::async_trait]
impl<C: Invoke> Invoke for Around<C> {
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes> {
        self.layer.enter(method);
        let result = self.inner.call(ctx, method, options, args).await;
        self.layer.leave(&result);
        result
    }

    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        self.layer.enter(method);
        let result = self.inner.open(ctx, method, options).await;
        self.layer.leave(&result);
        result
    }
}

#[kitex::async_trait]
impl<S: Service> Service for Around<S> {
    fn methods(&self) -> &[Method] {
        self.inner.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        self.layer.enter(call.method());
        let result = self.inner.call(call).await;
        self.layer.leave(&result);
        result
    }
}

#[tokio::test]
async fn layer_added_first_is_outermost() {
    let (reporter, mut reported) = reports::<String>();
    let named = |name| Named(name, reporter.clone());
    let handlers = Handlers::default().down(|_, _, _| async { Err(BizStatusError::new(404, "no").into()) });
    let (s1, s2) = (named("s1"), named("s2"));
    let peer = Peer::with(handlers, |server| server.layer(s1).layer(s2)).await;
    let (c1, c2) = (named("c1"), named("c2"));
    let client = peer.client_with(|client| client.layer(c1).layer(c2));
    let ctx = Context::background();

    soon(client.unary(&ctx, req("", 0))).await.unwrap();
    let words =
        ["c1 > Unary", "c2 > Unary", "s1 > Unary", "s2 > Unary", "s2 < ok", "s1 < ok", "c2 < ok", "c1 < ok"];
    for word in words {
        assert_eq!(reported.next().await, word);
    }

    // A client's layer wraps the opening, a server's wraps the handler.
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    assert_eq!(ended(&soon(down.recv()).await), "biz 404");
    for word in ["c1 > Down", "c2 > Down", "c2 < ok", "c1 < ok"] {
        assert_eq!(reported.next().await, word);
    }
    for word in ["s1 > Down", "s2 > Down", "s2 < biz 404", "s1 < biz 404"] {
        assert_eq!(reported.next().await, word);
    }
}

#[tokio::test]
async fn layer_sees_calls_that_fail_before_they_are_sent() {
    let (reporter, mut reported) = reports::<String>();
    let refusing = Refusing::new();
    let client = builder(&refusing.address).layer(Named("c1", reporter)).build().unwrap();
    let (client, ctx) = (EchoClient::new(client), Context::background());
    assert_eq!(ended(&soon(client.bidi(&ctx)).await), "connect");
    assert_eq!(
        (reported.next().await, reported.next().await),
        ("c1 > Bidi".to_owned(), "c1 < connect".to_owned())
    );
    assert_eq!(ended(&soon(client.unary(&ctx, req("", 0))).await), "connect");
    assert_eq!(
        (reported.next().await, reported.next().await),
        ("c1 > Unary".to_owned(), "c1 < connect".to_owned())
    );
}

/// Responds itself, refuses, or calls on with another context and other options.
#[derive(Clone)]
struct Gate;

struct Gated<T>(T);

impl<T> Layer<T> for Gate {
    type Service = Gated<T>;

    fn layer(&self, inner: T) -> Gated<T> {
        Gated(inner)
    }
}

#[kitex::async_trait]
impl<C: Invoke> Invoke for Gated<C> {
    async fn call(
        &self,
        ctx: &Context,
        method: &Method,
        mut options: CallOptions,
        args: Bytes,
    ) -> Result<Bytes> {
        if method.name() == "Note" {
            return Err(Error::other("not from here"));
        }
        options.headers.insert("ck", "layered");
        self.0.call(&ctx.with_persistent("pk", "layered"), method, options, args).await
    }

    async fn open(&self, ctx: &Context, method: &Method, mut options: CallOptions) -> Result<RawStream> {
        if method.name() == "Bidi" {
            return Err(Error::other("not from here"));
        }
        options.headers.insert("ck", "layered");
        self.0.open(&ctx.with_persistent("pk", "layered"), method, options).await
    }
}

#[kitex::async_trait]
impl<S: Service> Service for Gated<S> {
    fn methods(&self) -> &[Method] {
        self.0.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        match call.method().name() {
            "Ping" => Response::message(&pong()),
            "Up" => Err(BizStatusError::new(403, "not you").into()),
            _ => {
                let ctx = call.context().with_persistent("sk", "layered");
                self.0.call(call.with_context(ctx)).await
            }
        }
    }
}

/// What the result of Ping looks like: the response as field 0.
fn pong() -> crate::fixture::echo::EchoPingResult {
    crate::fixture::echo::EchoPingResult::Ok(resp("from the layer", 1))
}

#[tokio::test]
async fn layer_may_respond_refuse_or_change() {
    let (reporter, mut reported) = reports();
    let of_stream = reporter.clone();
    let read = |ctx: &Context| {
        let ck = ctx.metadata().and_then(|strings| strings.get_str("ck").map(str::to_owned));
        (ck, ctx.persistent("pk").cloned(), ctx.persistent("sk").cloned())
    };
    let handlers = Handlers::default()
        .unary(move |ctx, req| {
            reporter.send(read(&ctx));
            async { Ok(answer(req)) }
        })
        .down(move |ctx, _, _| {
            of_stream.send(read(&ctx));
            async { Ok(()) }
        });
    let peer = Peer::with(handlers, |server| server.layer(Gate)).await;
    let (client, ctx) = (peer.client_with(|client| client.layer(Gate)), Context::background());

    let layered = Some(Bytes::from("layered"));
    soon(client.unary(&ctx, req("", 0))).await.unwrap();
    assert_eq!(reported.next().await, (Some("layered".to_owned()), layered.clone(), layered.clone()));
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    assert_eq!(reported.next().await, (Some("layered".to_owned()), layered.clone(), layered));

    assert_eq!(ended(&soon(client.bidi(&ctx)).await), "other not from here");
    assert_eq!(ended(&soon(client.note(&ctx, req("", 0))).await), "other not from here");
    assert_eq!(soon(client.ping(&ctx, req("", 0))).await.unwrap().msg.as_deref(), Some("from the layer"));
    let mut up = client.up(&ctx).await.unwrap();
    assert_eq!(ended(&soon(up.close_and_recv()).await), "biz 403");
}

/// Appends its letter to the text of each message sent, and prepends it to each received. Refuses marked messages.
#[derive(Clone)]
struct Letter(char, Arc<AtomicUsize>);

impl Letter {
    fn new(letter: char) -> Self {
        Self(letter, Arc::default())
    }

    fn change(&self, stream: &StreamInfo, message: &Bytes, refused: &str) -> Result<Bytes> {
        assert!(stream.service == "Echo" && !stream.method.is_empty(), "{stream:?}");
        self.1.fetch_add(1, Relaxed);
        let mut message = Req::decode(message.clone()).map_err(Error::codec)?;
        let text = message.msg.unwrap_or_default();
        if text.starts_with(refused) {
            return Err(Error::other(format!("{} refuses", self.0)));
        }
        message.msg = Some(format!("{text}{}", self.0).into());
        let mut out = BytesMut::new().writer().into_inner();
        message.encode(&mut out).map_err(Error::codec)?;
        Ok(out.freeze())
    }
}

#[kitex::async_trait]
impl MessageLayer for Letter {
    async fn on_send(&self, stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        self.change(stream, &message, "unsent")
    }

    async fn on_recv(&self, stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        self.change(stream, &message, "untaken")
    }
}

#[tokio::test]
async fn message_layers_run_from_user_to_wire_and_back() {
    let handlers = Handlers::default()
        .down(|_, req, stream| async move { stream.send(&answer(req)).await })
        .up(|_, mut stream| async move { Ok(answer(stream.recv().await?.unwrap_or_default())) });
    let server = |server: kitex::server::ServerBuilder| {
        server.message_layer(Letter::new('1')).message_layer(Letter::new('2'))
    };
    let peer = Peer::with(handlers, server).await;
    let client =
        peer.client_with(|client| client.message_layer(Letter::new('a')).message_layer(Letter::new('b')));
    let ctx = Context::background();
    // Sent by a, b; received by 2, 1; sent by 1, 2; received by b, a.
    let text = |answer: Option<Resp>| answer.unwrap().msg.unwrap_or_default().to_string();
    let mut down = client.down(&ctx, req("down ", 0)).await.unwrap();
    assert_eq!(text(soon(down.recv()).await.unwrap()), "down ab2112ba");
    let mut up = client.up(&ctx).await.unwrap();
    up.send(&req("up ", 0)).await.unwrap();
    assert_eq!(text(Some(soon(up.close_and_recv()).await.unwrap())), "up ab2112ba");
    let mut bidi = client.bidi(&ctx).await.unwrap();
    bidi.send(&req("bidi ", 0)).await.unwrap();
    assert_eq!(text(soon(bidi.recv()).await.unwrap()), "bidi ab2112ba");
    // Messages of streams only.
    assert_eq!(text(Some(soon(client.unary(&ctx, req("call ", 0))).await.unwrap())), "call ");
}

#[tokio::test]
async fn message_layer_error_fails_that_send_or_recv_only() {
    let peer = Peer::start(Handlers::default()).await;
    let letter = Letter::new('a');
    let seen = letter.1.clone();
    let client = peer.client_with(|client| client.message_layer(letter));
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    assert_eq!(ended(&bidi.send(&req("unsent", 0)).await), "other a refuses");
    bidi.send(&req("untaken", 1)).await.unwrap();
    assert_eq!(ended(&soon(bidi.recv()).await), "other a refuses");
    bidi.send(&req("fine", 2)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(2), "the refused ones are gone");
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    assert_eq!(seen.load(Relaxed), 5);
}

/// The same at the server: its handler gets the error, and ends the stream or continues.
#[tokio::test]
async fn message_layer_error_at_a_server_goes_to_the_handler() {
    let handlers = Handlers::default().bidi(|_, mut stream| async move {
        let refused = stream.recv().await.unwrap_err();
        stream.send(&resp(&refused.to_string(), 0)).await?;
        let refused = stream.send(&resp("unsent", 0)).await.unwrap_err();
        stream.send(&resp(&refused.to_string(), 0)).await
    });
    let peer = Peer::with(handlers, |server| server.message_layer(Letter::new('s'))).await;
    let (client, ctx) = (peer.client(), Context::background());
    let mut bidi = client.bidi(&ctx).await.unwrap();
    bidi.send(&req("untaken", 0)).await.unwrap();
    for _ in 0..2 {
        let text = soon(bidi.recv()).await.unwrap().unwrap().msg.unwrap_or_default();
        assert_eq!(text, "s refusess");
    }
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    // A request that its handler cannot decode, and a response that its client cannot.
    let mut down = client.down(&ctx, req("untaken", 1)).await.unwrap();
    assert_eq!(ended(&soon(down.recv()).await), by("12001 client", "grpc 13"));
}

/// Lets a message pass for each permit, and waits for one otherwise.
#[derive(Clone)]
struct Permits(Arc<Semaphore>);

impl Permits {
    fn none() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

#[kitex::async_trait]
impl MessageLayer for Permits {
    async fn on_send(&self, _: &StreamInfo, message: Bytes) -> Result<Bytes> {
        self.0.acquire().await.map_err(Error::other)?.forget();
        Ok(message)
    }

    async fn on_recv(&self, stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        self.on_send(stream, message).await
    }
}

#[tokio::test]
async fn a_message_layer_may_wait_and_a_dropped_send_or_recv_loses_no_other_message() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        let peer = Peer::start(Handlers::default()).await;
        let permits = Permits::none();
        let layer = permits.clone();
        let client = peer.client_with(|client| client.transport(transport).message_layer(layer));
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        assert!(bidi.send(&req("dropped", 0)).now_or_never().is_none(), "it waits, and is given up");
        {
            let (message, pass) = (req("kept", 1), permits.0.clone());
            let (sent, ()) = tokio::join!(bidi.send(&message), async move {
                tokio::task::yield_now().await;
                pass.add_permits(1);
            });
            sent.unwrap();
        }
        permits.0.add_permits(1);
        bidi.send(&req("kept", 2)).await.unwrap();
        // Both answers come back; a Recv that is given up in the layer leaves its message to the next.
        for seq in [1, 2] {
            let given_up = tokio::time::timeout(Duration::from_millis(20), bidi.recv()).await;
            assert!(given_up.is_err(), "it waits, in the stream or in the layer");
            permits.0.add_permits(1);
            assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq), "{transport:?}");
        }
        bidi.close_send();
        assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_message_layer_of_a_server_may_wait() {
    let permits = Permits::none();
    let layer = permits.clone();
    let peer = Peer::with(Handlers::default(), |server| server.message_layer(layer)).await;
    for transport in [Transport::TtHeader, Transport::Grpc] {
        let client = peer.client_with(|client| client.transport(transport));
        let ctx = Context::background();
        // One request and one answer of Up, one request and two answers of Down.
        let mut up = client.up(&ctx).await.unwrap();
        up.send(&req("up", 0)).await.unwrap();
        let answered = tokio::time::timeout(Duration::from_millis(20), up.close_and_recv()).await;
        assert!(answered.is_err(), "{transport:?}");
        permits.0.add_permits(2);
        assert_eq!(soon(up.close_and_recv()).await.unwrap().seq, Some(1), "{transport:?}");
        permits.0.add_permits(3);
        let mut down = client.down(&ctx, req("down", 2)).await.unwrap();
        for seq in 0..2 {
            assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(seq), "{transport:?}");
        }
        assert_eq!(soon(down.recv()).await.unwrap(), None);
        assert_eq!(permits.0.available_permits(), 0);
    }
}
