//! tonic at either end: unary calls, a status, a stream in both directions, and a cancel that reaches the other end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use kitex::client::{ClientBuilder, Transport};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, Protobuf, Result, Server,
    ServerStreamingServer,
};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::{self, Stream};
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::server::{NamedService, StreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::local::ends;
use crate::protobuf::generated::acme::labpb::{PbLab, PbLabClient, PbLabServer, PbReq, PbResp};

type Reporter = mpsc::Sender<String>;

fn request(msg: &str, seq: i64) -> PbReq {
    PbReq { msg: msg.to_owned(), seq, payload: vec![7; 100_000].into() }
}

fn echo(req: PbReq) -> PbResp {
    PbResp { msg: req.msg, seq: req.seq, payload: req.payload }
}

/// Our service, which reports how its Down is canceled.
struct Ours(Reporter);

#[kitex::async_trait]
impl PbLab for Ours {
    async fn unary(&self, _: Context, req: PbReq) -> Result<PbResp> {
        if req.msg == "fail" { Err(Error::other("handler failed")) } else { Ok(echo(req)) }
    }

    async fn up(&self, _: Context, mut stream: ClientStreamingServer<PbReq, Protobuf>) -> Result<PbResp> {
        while stream.recv().await?.is_some() {}
        Ok(PbResp::default())
    }

    async fn down(
        &self,
        ctx: Context,
        req: PbReq,
        stream: ServerStreamingServer<PbResp, Protobuf>,
    ) -> Result<()> {
        stream.send(&echo(req)).await?;
        let error = Error::from(ctx.canceled().await);
        let _ = self.0.try_send(error.to_string());
        Err(error)
    }

    async fn bidi(&self, _: Context, mut stream: BidiStreamingServer<PbReq, PbResp, Protobuf>) -> Result<()> {
        while let Some(req) = stream.recv().await? {
            stream.send(&echo(req)).await?;
        }
        Ok(())
    }
}

/// tonic's client, without generated code.
struct Theirs(tonic::client::Grpc<Channel>);

fn path(method: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(method)
}

impl Theirs {
    async fn unary(&mut self, req: PbReq) -> std::result::Result<PbResp, Status> {
        self.0.ready().await.expect("it is connected");
        let answer = self.0.unary(Request::new(req), path("/acme.labpb.PbLab/Unary"), ProstCodec::default());
        answer.await.map(Response::into_inner)
    }

    async fn down(&mut self, req: PbReq) -> std::result::Result<Streaming<PbResp>, Status> {
        self.0.ready().await.expect("it is connected");
        let codec = ProstCodec::<PbReq, PbResp>::default();
        let answer = self.0.server_streaming(Request::new(req), path("/acme.labpb.PbLab/Down"), codec);
        answer.await.map(Response::into_inner)
    }

    async fn bidi(
        &mut self,
        requests: impl Stream<Item = PbReq> + Send + 'static,
    ) -> std::result::Result<Streaming<PbResp>, Status> {
        self.0.ready().await.expect("it is connected");
        let codec = ProstCodec::<PbReq, PbResp>::default();
        let answer = self.0.streaming(Request::new(requests), path("/acme.labpb.PbLab/Bidi"), codec);
        answer.await.map(Response::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_tonic_calls_and_cancels_our_service() {
    let (reporter, mut reported) = mpsc::channel(8);
    let server = Server::builder("ServiceB").service(PbLabServer::new(Ours(reporter)));
    let server = server.bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", server.local_addr());
    tokio::spawn(server.serve());
    let channel = Endpoint::from_shared(address).expect("an address").connect().await.expect("it listens");
    let mut client = Theirs(tonic::client::Grpc::new(channel));

    assert_eq!(client.unary(request("hello", 7)).await.unwrap(), echo(request("hello", 7)));
    let status = client.unary(request("fail", 0)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "handler failed [biz error]"));

    let mut stream = client.bidi(tokio_stream::iter((0..3).map(|seq| request("", seq)))).await.unwrap();
    for seq in 0..3 {
        assert_eq!(stream.message().await.unwrap(), Some(echo(request("", seq))));
    }
    assert_eq!(stream.message().await.unwrap(), None);

    // tonic resets a stream that is dropped once its requests have ended.
    let mut stream = client.down(request("", 1)).await.unwrap();
    assert_eq!(stream.message().await.unwrap().map(|resp| resp.seq), Some(1));
    drop(stream);
    let text = ends("the cancel", reported.recv()).await.expect("a report");
    let expected = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL [triggered by ]";
    assert_eq!(text, expected);
}

/// tonic's server, without generated code. It reports when the answers of a Bidi are dropped.
#[derive(Clone)]
struct TonicLab(Reporter);

impl NamedService for TonicLab {
    const NAME: &'static str = "acme.labpb.PbLab";
}

impl Service<http::Request<Body>> for TonicLab {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<PbResp, PbReq>::default());
            Ok(match request.uri().path() {
                "/acme.labpb.PbLab/Unary" => grpc.unary(this, request).await,
                "/acme.labpb.PbLab/Bidi" => grpc.streaming(this, request).await,
                path => Status::unimplemented(path.to_owned()).into_http(),
            })
        })
    }
}

impl UnaryService<PbReq> for TonicLab {
    type Response = PbResp;
    type Future = BoxFuture<Response<PbResp>, Status>;

    fn call(&mut self, request: Request<PbReq>) -> Self::Future {
        Box::pin(async move {
            let req = request.into_inner();
            if req.msg == "fail" { Err(Status::not_found("nope")) } else { Ok(Response::new(echo(req))) }
        })
    }
}

impl StreamingService<PbReq> for TonicLab {
    type Response = PbResp;
    type ResponseStream = Echo;
    type Future = BoxFuture<Response<Echo>, Status>;

    fn call(&mut self, request: Request<Streaming<PbReq>>) -> Self::Future {
        let echo = Echo(request.into_inner(), self.0.clone());
        Box::pin(async move { Ok(Response::new(echo)) })
    }
}

struct Echo(Streaming<PbReq>, Reporter);

impl Stream for Echo {
    type Item = std::result::Result<PbResp, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|next| next.map(|next| next.map(echo)))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.1.try_send("dropped".to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_calls_and_cancels_a_service_of_tonic() -> std::result::Result<(), StdError> {
    let (reporter, mut reported) = mpsc::channel(8);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(
        tonic::transport::Server::builder().add_service(TonicLab(reporter)).serve_with_incoming(incoming),
    );
    let client =
        ClientBuilder::new("ServiceB").address(address.to_string()).transport(Transport::Grpc).build();
    let client = PbLabClient::new(client?);
    let ctx = Context::background();

    assert_eq!(client.unary(&ctx, request("hello", 7)).await?, echo(request("hello", 7)));
    let error = client.unary(&ctx, request("fail", 0)).await.unwrap_err();
    let status = error.grpc_status().expect("a status");
    assert_eq!((status.code(), status.message()), (5, "nope"));

    let mut stream = client.bidi(&ctx).await?;
    for seq in 0..3 {
        stream.send(&request("", seq)).await?;
        assert_eq!(stream.recv().await?, Some(echo(request("", seq))));
    }
    stream.close_send();
    assert_eq!(stream.recv().await?, None);
    assert_eq!(ends("the end", reported.recv()).await.as_deref(), Some("dropped"));

    let (canceled, canceler) = ctx.with_cancel();
    let mut stream = client.bidi(&canceled).await?;
    stream.send(&request("", 1)).await?;
    assert!(stream.recv().await?.is_some());
    canceler.cancel();
    assert!(stream.recv().await.unwrap_err().is_canceled());
    assert_eq!(ends("the cancel", reported.recv()).await.as_deref(), Some("dropped"));
    Ok(())
}
