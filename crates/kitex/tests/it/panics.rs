//! Panics of user code: the call that it belongs to ends with the panic, or keeps its response; nothing else is affected,
//! and nothing leaks.

use std::pin::Pin;
use std::sync::Arc;

use kitex::bytes::Bytes;
use kitex::client::CallOptions;
use kitex::middleware::{Invoke, MessageLayer, RawStream};
use kitex::observe::{StreamInfo, streams};
use kitex::server::OnCancel;
use kitex::{Call, Context, Error, Method, Response, Result, Service, Side};

use crate::fixture::{Bomb, EchoClient, Handlers, Peer, answer, req, resp, soon, until};

#[kitex::async_trait]
impl MessageLayer for Bomb {
    async fn on_send(&self, _: &StreamInfo, message: Bytes) -> Result<Bytes> {
        self.pass("on_send");
        Ok(message)
    }

    async fn on_recv(&self, _: &StreamInfo, message: Bytes) -> Result<Bytes> {
        self.pass("on_recv");
        Ok(message)
    }
}

/// Around a service or a caller.
struct Around<T>(T, Bomb);

#[kitex::async_trait]
impl Service for Around<Arc<dyn Service>> {
    fn methods(&self) -> &[Method] {
        self.0.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        self.1.pass("before the call");
        let answer = self.0.call(call).await;
        self.1.pass("after the call");
        answer
    }
}

#[kitex::async_trait]
impl Invoke for Around<Arc<dyn Invoke>> {
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes> {
        self.1.pass("before the call");
        let answer = self.0.call(ctx, method, options, args).await;
        self.1.pass("after the call");
        answer
    }

    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        self.1.pass("before the call");
        let stream = self.0.open(ctx, method, options).await;
        self.1.pass("after the call");
        stream
    }
}

/// Panics when it is dropped.
struct DropBomb(Bomb);

impl Drop for DropBomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.pass("a drop");
        }
    }
}

/// Handlers that own a value whose drop panics, and register a callback that panics.
fn handlers(bomb: &Bomb) -> Handlers {
    let (of_bidi, of_ping) = (bomb.clone(), bomb.clone());
    Handlers::default()
        .bidi(move |_, mut stream| {
            let bomb = of_bidi.clone();
            let held = DropBomb(bomb.clone());
            let callback = bomb.clone();
            stream.on_close(move |_| callback.pass("on_close"));
            async move {
                let _held = held;
                while let Some(req) = stream.recv().await? {
                    bomb.pass("the handler");
                    stream.send(&answer(req)).await?;
                }
                Ok(())
            }
        })
        .ping(move |_, req| {
            let bomb = of_ping.clone();
            let held = DropBomb(bomb.clone());
            async move {
                let _held = held;
                bomb.pass("the handler");
                Ok(answer(req))
            }
        })
}

/// The result of a stream of one echo.
async fn echo(client: &EchoClient, bomb: Option<&Bomb>) -> String {
    let result = async {
        let ctx = Context::background();
        let mut stream = soon(client.bidi(&ctx)).await?;
        if let Some(bomb) = bomb.cloned() {
            stream.on_close(move |_| bomb.pass("on_close"));
        }
        soon(stream.send(&req("", 7))).await?;
        stream.close_send();
        let mut got = Vec::new();
        while let Some(message) = soon(stream.recv()).await? {
            got.push(message.seq.unwrap_or_default());
        }
        Ok::<_, Error>(format!("{got:?}"))
    };
    result.await.unwrap_or_else(|error| error.to_string())
}

async fn ping(client: &EchoClient) -> String {
    let pong = soon(client.ping(&Context::background(), req("", 7))).await;
    pong.map_or_else(|error| error.to_string(), |pong| format!("{:?}", [pong.seq.unwrap_or_default()]))
}

const OK: &str = "[7]";
const IN_OBSERVER: &str = "code=12001] [client-side stream] panic: [happened in an observer] bomb in start";

/// Where it panics, and the results of a stream and of a ping-pong call: the response, or the error text.
type Row = (&'static str, &'static str, &'static str);

const SERVER: &[Row] = &[
    (
        "start",
        "panic: [happened in biz handler, method=Echo.",
        "panic: [happened in biz handler, method=Echo.",
    ),
    ("connected", OK, OK),
    ("sent", OK, OK),
    ("received", OK, OK),
    ("finish", OK, OK),
    ("on_close", OK, OK),
    ("on_send", "panic: [happened in a layer] bomb in on_send", OK),
    ("on_recv", "panic: [happened in a layer] bomb in on_recv", OK),
    ("before the call", "bomb in before the call", "bomb in before the call"),
    ("after the call", "bomb in after the call", "bomb in after the call"),
    ("the handler", "bomb in the handler", "bomb in the handler"),
    // A value that the handler owns when it returns.
    ("a drop", "bomb in a drop", "bomb in a drop"),
];

const CLIENT: &[Row] = &[
    ("start", IN_OBSERVER, IN_OBSERVER),
    ("connected", OK, OK),
    ("header", OK, OK),
    ("sent", OK, OK),
    ("received", OK, OK),
    ("finish", OK, OK),
    ("on_close", OK, OK),
    ("on_send", "code=12001] panic: [happened in a layer] bomb in on_send", OK),
    ("on_recv", "code=12001] panic: [happened in a layer] bomb in on_recv", OK),
    ("before the call", "bomb in before the call", "bomb in before the call"),
    ("after the call", "bomb in after the call", "bomb in after the call"),
];

async fn check(side: Side, (at, stream, call): Row) {
    let what = format!("{side:?}, {at}");
    let (bomb, none) = (Bomb::new(at), Bomb::new("nowhere"));
    let (here, there) = if side == Side::Server { (&bomb, &none) } else { (&none, &bomb) };
    // Room for a handler of the other stream and one that panics.
    let around = here.clone();
    let peer = Peer::with(handlers(here), |server| {
        server
            .max_concurrent_streams(2)
            .observer(here.clone())
            .message_layer(here.clone())
            .layer(tower_layer::layer_fn(move |service| Around(service, around.clone())))
    })
    .await;
    let around = there.clone();
    let client = peer.client_with(|client| {
        client
            .observer(there.clone())
            .message_layer(there.clone())
            .layer(tower_layer::layer_fn(move |caller| Around(caller, around.clone())))
    });
    bomb.set(false);
    let mut neighbour = soon(client.bidi(&Context::background())).await.unwrap();
    soon(neighbour.send(&req("", 1))).await.unwrap();
    assert_eq!(soon(neighbour.recv()).await.unwrap(), Some(resp("", 1)), "{what}");
    bomb.set(true);

    for _ in 0..5 {
        let end = echo(&client, Some(there)).await;
        assert!(end.contains(stream), "{what}: {end}");
        let end = ping(&client).await;
        assert!(end.contains(call), "{what}: {end}");
        // The handler's slot is free again.
        let port: u16 = peer.address.rsplit(':').next().unwrap().parse().unwrap();
        let here = |info: &StreamInfo| info.local.to_string().ends_with(&format!(":{port}"));
        until(|| {
            streams().iter().filter(|view| here(&view.info) && view.info.side == Side::Server).count() == 1
        })
        .await;
    }
    bomb.set(false);
    assert_eq!(echo(&client, None).await, OK, "{what}: a later stream");
    assert_eq!(ping(&client).await, OK, "{what}: a later call");
    soon(neighbour.send(&req("", 2))).await.unwrap();
    assert_eq!(soon(neighbour.recv()).await.unwrap(), Some(resp("", 2)), "{what}: the neighbour");
    assert_eq!(client.as_ref().pool_stats().failed_dials, 0, "{what}");
}

/// One test for all rows: the panic hook is global to the process.
#[tokio::test]
async fn panic_of_user_code_fails_its_own_call_only() {
    let rows =
        SERVER.iter().map(|row| (Side::Server, *row)).chain(CLIENT.iter().map(|row| (Side::Client, *row)));
    for (side, row) in rows {
        let checked: Pin<Box<dyn Future<Output = ()>>> = Box::pin(check(side, row));
        checked.await;
    }
}

#[tokio::test]
async fn panic_in_drop_of_a_canceled_handler_frees_its_slot() {
    let bomb = Bomb::new("a drop");
    let held = bomb.clone();
    let handlers = Handlers::default().bidi(move |_, stream| {
        let held = DropBomb(held.clone());
        async move {
            let (_held, _stream) = (held, stream);
            std::future::pending().await
        }
    });
    let peer =
        Peer::with(handlers, |server| server.max_concurrent_streams(1).on_cancel(OnCancel::Drop)).await;
    let client = peer.client();
    for _ in 0..3 {
        let (ctx, canceler) = Context::background().with_cancel();
        let mut stream = soon(client.bidi(&ctx)).await.unwrap();
        let port: u16 = peer.address.rsplit(':').next().unwrap().parse().unwrap();
        let here = |info: &StreamInfo| info.local.to_string().ends_with(&format!(":{port}"));
        let running =
            || streams().iter().filter(|view| here(&view.info) && view.info.side == Side::Server).count();
        until(|| running() == 1).await;
        canceler.cancel();
        assert!(soon(stream.recv()).await.is_err());
        until(|| running() == 0).await;
    }
}
