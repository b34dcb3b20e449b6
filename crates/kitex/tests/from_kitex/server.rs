//! The server's blocks of the page.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use kitex::bytes::Bytes;
use kitex::middleware::MessageLayer;
use kitex::observe::{CallEnd, CallObserver, CallStart, MessageEvent, Observer, StreamInfo};
use kitex::server::{BindError, OnCancel};
use kitex::{
    BidiStreamingServer, BizStatusError, Call, ClientStreamingServer, Context, Error, Metadata, Method,
    RecvTimeout, Response, Result, Server, ServerStreamingServer, Service, StreamError,
};
use tower_layer::layer_fn;

use crate::shared::echo::{Echo, EchoError, EchoPingError, EchoServer};
use crate::shared::{Ended, Req, Resp, resp};

pub(crate) async fn run() -> Ended {
    let server = Server::builder("echo")
        .service(EchoServer::new(Handler))
        .exit_wait(Duration::from_secs(3))
        .bind("0.0.0.0:8888")
        .await?;
    server.run().await?;
    Ok(())
}

pub(crate) async fn serve_until(shutdown_signal: impl Future<Output = ()>) -> Result<(), BindError> {
    let server = Server::builder("echo").service(EchoServer::new(Handler));
    let server = server.recv_timeout(RecvTimeout::new(Duration::from_secs(30)));
    let server = server.on_cancel_of("Echo", "Down", OnCancel::NotifyThenDrop(Duration::from_secs(5)));
    let server = server.layer(layer_fn(Auth)).message_layer(Sizes).observer(Metrics::default());
    let server = server.max_connections(10_000).max_qps(2000);
    let server = server.exit_wait(Duration::from_secs(3)).bind("127.0.0.1:0").await?;
    server.serve_until(shutdown_signal).await;
    Ok(())
}

pub(crate) struct Handler;

#[kitex::async_trait]
impl Echo for Handler {
    async fn ping(&self, _: Context, req: Req) -> Result<Resp, EchoPingError> {
        if req.msg.is_none() {
            return Err(EchoError { code: Some(400), reason: Some("no msg".into()) }.into());
        }
        Ok(resp("pong", 0))
    }

    async fn unary(&self, ctx: Context, req: Req) -> Result<Resp> {
        if req.msg.as_deref() == Some("") {
            return Err(BizStatusError::new(404, "not found").with_extra("key", "value").into());
        }
        let (tk, pk) = (ctx.transient("tk"), ctx.persistent("pk"));
        println!("{tk:?} {pk:?}");
        ctx.send_backward("bk", "bval");
        Ok(resp("unary", 0))
    }

    async fn up(&self, _: Context, mut stream: ClientStreamingServer<Req>) -> Result<Resp> {
        let mut sum = 0;
        while let Some(req) = stream.recv().await? {
            sum += req.seq.unwrap_or_default();
        }
        Ok(resp("sum", sum))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        stream.set_header("hk", "hv")?;
        stream.send_header()?;
        stream.set_trailer("tk", "tv");
        for seq in 0..req.seq.unwrap_or_default() {
            stream.send(&resp("down", seq)).await?;
        }
        if req.msg.as_deref() == Some("wait") {
            let reason = ctx.canceled().await;
            println!("{:?} {:?}", reason.stream().map(StreamError::code), ctx.peer());
        }
        Ok(())
    }

    async fn bidi(&self, _: Context, mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        while let Some(req) = stream.recv().await? {
            stream.send(&resp("bidi", req.seq.unwrap_or_default())).await?;
        }
        Ok(())
    }

    async fn note(&self, ctx: Context, _: Req) -> Result<()> {
        let left = ctx.detach();
        ctx.detach().spawn(async move {
            println!("kept for {:?}", left.persistent("user"));
        });
        Ok(())
    }
}

pub(crate) struct Auth<S>(pub(crate) S);

#[kitex::async_trait]
impl<S: Service> Service for Auth<S> {
    fn methods(&self) -> &[Method] {
        self.0.methods()
    }

    async fn call(&self, call: Call) -> Result<Response> {
        let headers: HashMap<_, _> = call.context().metadata().into_iter().flat_map(Metadata::iter).collect();
        println!("{} with {} strings", call.method().name(), headers.len());
        let ctx = call.context().with_persistent("seen", "by auth");
        self.0.call(call.with_context(ctx)).await
    }
}

pub(crate) struct Sizes;

#[kitex::async_trait]
impl MessageLayer for Sizes {
    async fn on_recv(&self, stream: &StreamInfo, message: Bytes) -> Result<Bytes> {
        match message.len() {
            0..1_000_000 => Ok(message),
            len => Err(Error::other(format!("{len} bytes from {}", stream.peer))),
        }
    }
}

#[derive(Default)]
pub(crate) struct Metrics {
    sent: Arc<AtomicU64>,
}

impl Observer for Metrics {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        println!("{:?} from {:?} to {}", call.method, call.caller, call.callee);
        Some(Box::new(OneCall { sent: self.sent.clone(), started: Instant::now() }))
    }
}

struct OneCall {
    sent: Arc<AtomicU64>,
    started: Instant,
}

impl CallObserver for OneCall {
    fn sent(&self, message: &MessageEvent) {
        self.sent.fetch_add(message.bytes as u64, Relaxed);
    }

    fn finish(&self, end: &CallEnd<'_>) {
        let kind = end.error.map(Error::kind);
        println!("{kind:?} after {:?}", self.started.elapsed());
    }

    fn meta(&self, strings: &Metadata, _payload: &[u8]) {
        println!("a proxy says {strings:?}");
    }
}
