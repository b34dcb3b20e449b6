//! Middleware: layers around calls at the client and at the server, a layer for each message, and an observer, which only
//! watches.
//! `cargo run -p kitex --example middleware`

mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use kitex::bytes::Bytes;
use kitex::middleware::{Invoke, MessageLayer, RawStream};
use kitex::observe::{CallEnd, CallObserver, CallStart, MessageEvent, Observer, StreamInfo};
use kitex::{BizStatusError, Call, CallOptions, Client, Context, Error, Method, Response, Result, Server};
use kitex::{ServerStreamingServer, Service};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, req, resp, serve};
use tower_layer::layer_fn;

/// A layer of a client: adds a pass to each call and each stream.
struct WithPass<C>(C);

#[kitex::async_trait]
impl<C: Invoke> Invoke for WithPass<C> {
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes> {
        self.0.call(&ctx.with_transient("pass", "open sesame"), method, options, args).await
    }

    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        self.0.open(&ctx.with_transient("pass", "open sesame"), method, options).await
    }
}

/// A layer of a server: refuses calls without a pass.
struct Guard<S>(S);

#[kitex::async_trait]
impl<S: Service> Service for Guard<S> {
    fn methods(&self) -> &[Method] {
        self.0.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        if call.context().transient("pass").is_none_or(|pass| pass != "open sesame") {
            return Err(BizStatusError::new(401, "no pass").into());
        }
        let name = call.method().name().to_string();
        let ended = self.0.call(call).await;
        println!("guard: {name} ended {}", if ended.is_ok() { "well" } else { "badly" });
        ended
    }
}

/// A layer for each encoded message of each stream: refuses messages that are too large.
struct Bound(usize);

#[kitex::async_trait]
impl MessageLayer for Bound {
    async fn on_send(&self, _: &StreamInfo, message: Bytes) -> Result<Bytes> {
        match message.len() {
            len if len <= self.0 => Ok(message),
            len => Err(Error::other(format!("{len} bytes are too many"))),
        }
    }
}

/// Counts calls and messages.
#[derive(Clone, Default)]
struct Counts(Arc<[AtomicUsize; 3]>);

/// The events of one call, each once; finish is the last.
struct Counting {
    counts: Counts,
    method: String,
    started: Instant,
}

impl Observer for Counts {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        self.0[0].fetch_add(1, Relaxed);
        let method = call.method.map_or("unknown".to_owned(), ToString::to_string);
        Some(Box::new(Counting { counts: self.clone(), method, started: Instant::now() }))
    }
}

impl CallObserver for Counting {
    fn received(&self, _: &MessageEvent) {
        self.counts.0[1].fetch_add(1, Relaxed);
    }

    fn finish(&self, end: &CallEnd<'_>) {
        println!("observer: {} ended after {:?}, error {:?}", self.method, self.started.elapsed(), end.error);
        self.counts.0[2].fetch_add(1, Relaxed);
    }
}

struct Model;

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
        Ok(resp("pong", req.seq.unwrap_or_default()))
    }

    async fn down(&self, _: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        for seq in 0..req.seq.unwrap_or_default() {
            stream.send(&resp("word", seq)).await?;
        }
        let long = "x".repeat(1000);
        // Only that Send fails: the stream continues.
        let refused = stream.send(&resp(&long, 0)).await.expect_err("the layer refuses it");
        stream.send(&resp(&refused.to_string(), 0)).await
    }
}

#[tokio::main]
async fn main() -> Ended {
    let server = Server::builder("model").service(MirrorServer::new(Model));
    let address = serve(server.layer(layer_fn(Guard)).message_layer(Bound(200))).await?;
    let (ctx, counts) = (Context::background(), Counts::default());

    let stranger = MirrorClient::new(Client::builder("model").address(&*address).build()?);
    let error = stranger.ping(&ctx, req("", 0)).await.expect_err("it has no pass");
    println!("stranger: {error}");
    assert_eq!(error.biz().map(|biz| biz.code), Some(401));

    let client = Client::builder("model").address(address).layer(layer_fn(WithPass));
    let client = MirrorClient::new(client.observer(counts.clone()).build()?);
    println!("ping: {:?}", client.ping(&ctx, req("", 7)).await?.seq);
    let mut stream = client.down(&ctx, req("", 3)).await?;
    let mut last = Resp::default();
    while let Some(response) = stream.recv().await? {
        last = response;
    }
    println!("the last response: {:?}", last.msg.unwrap_or_default());
    let counted = [0, 1, 2].map(|at| counts.0[at].load(Relaxed));
    println!("calls begun, messages received, calls ended: {counted:?}");
    assert_eq!(counted, [2, 5, 2]);
    Ok(())
}
