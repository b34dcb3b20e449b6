//! The server: the part of the lab service that benchmarks use, and the line of each stream's handler at its
//! end.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clap::Args;
use interop::line::{now, print};
use interop::words::Words;
use serde_json::json;
use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::failure::Failure;
use crate::lab::{Lab, LabServer, Req, Resp};

/// Flow control windows of a stream and of a connection.
pub(crate) const WINDOWS: (u32, u32) = (1024 * 1024, 16 * 1024 * 1024);

/// The arguments of `tonic-peer server`.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:9001")]
    addr: SocketAddr,
}

/// Serves until it is killed.
pub(crate) async fn run(args: ServerArgs) -> Result<(), Failure> {
    let incoming = TcpIncoming::bind(args.addr)?.with_nodelay(Some(true));
    print(&json!({"ev": "listening"}));
    Server::builder()
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_concurrent_streams(100_000)
        .add_service(LabServer::new(Peer))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Debug)]
struct Peer;

#[tonic::async_trait]
impl Lab for Peer {
    type DownStream = Responses;
    type BidiStream = Echo;

    async fn ping(&self, request: Request<Req>) -> Result<Response<Resp>, Status> {
        Ok(Response::new(echo(request.into_inner())))
    }

    async fn unary(&self, request: Request<Req>) -> Result<Response<Resp>, Status> {
        Ok(Response::new(echo(request.into_inner())))
    }

    async fn up(&self, request: Request<Streaming<Req>>) -> Result<Response<Resp>, Status> {
        let mut requests = request.into_inner();
        let (mut handler, mut seq) = (Handler::new("Up"), 0);
        while let Some(req) = requests.message().await? {
            (handler.messages, seq) = (handler.messages + 1, req.seq);
        }
        let msg = format!("n={}", handler.messages);
        Ok(Response::new(Resp { msg, seq, payload: Bytes::new() }))
    }

    async fn down(&self, request: Request<Req>) -> Result<Response<Responses>, Status> {
        Ok(Response::new(Responses::new(&request.into_inner())))
    }

    async fn bidi(&self, request: Request<Streaming<Req>>) -> Result<Response<Echo>, Status> {
        Ok(Response::new(Echo { requests: request.into_inner(), handler: Handler::new("Bidi") }))
    }
}

/// The line of a stream's handler, printed when it ends.
struct Handler {
    method: &'static str,
    messages: u64,
}

impl Handler {
    fn new(method: &'static str) -> Self {
        Self { method, messages: 0 }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        print(&json!({
            "ev": "server", "svc": "ServiceB", "m": self.method, "err": "", "kind": "other",
            "n": self.messages, "ts": now(),
        }));
    }
}

/// Responds with each request.
pub(crate) struct Echo {
    requests: Streaming<Req>,
    handler: Handler,
}

impl Stream for Echo {
    type Item = Result<Resp, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let request = Pin::new(&mut self.requests).poll_next(cx);
        request.map(|request| {
            let request = request?;
            self.handler.messages += 1;
            Some(request.map(echo))
        })
    }
}

/// The responses of Down: supports `n`, `size` and `idle`.
pub(crate) struct Responses {
    words: Words,
    /// Prints when an idle handler is canceled.
    idle: Option<Idle>,
    next: Resp,
    handler: Handler,
}

struct Idle(i64);

impl Drop for Idle {
    fn drop(&mut self) {
        print(&json!({"ev": "done", "svc": "ServiceB", "seq": self.0, "ts": now()}));
    }
}

impl Responses {
    fn new(req: &Req) -> Self {
        let words = Words::parse(&req.msg);
        let payload = Bytes::from(vec![0; words.size]);
        let next = Resp { msg: "pk=;tk=".to_owned(), seq: 0, payload };
        Self { idle: words.idle.then_some(Idle(req.seq)), words, next, handler: Handler::new("Down") }
    }
}

impl Stream for Responses {
    type Item = Result<Resp, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.words.n < 0 || self.next.seq < self.words.n {
            let response = self.next.clone();
            self.next.seq += 1;
            self.handler.messages += 1;
            return Poll::Ready(Some(Ok(response)));
        }
        // An idle stream is never woken: it is dropped when its client has closed it.
        if self.idle.is_some() { Poll::Pending } else { Poll::Ready(None) }
    }
}

fn echo(req: Req) -> Resp {
    Resp { msg: req.msg, seq: req.seq, payload: req.payload }
}
