//! All streaming modes, with a service and its client in one program: `cargo run -p kitex --example echo`. The service
//! implements a trait that is generated from `idl/echo.thrift`.

mod shared;

use kitex::{Address, BidiStreamingServer, Client, ClientStreamingServer, Context, Result, Server};
use kitex::{BizStatusError, ServerStreamingServer};
use shared::echo::{Echo, EchoClient, EchoError, EchoPingError, EchoServer};
use shared::{Ended, Req, Resp, req, resp, serve};

struct Echoes;

#[kitex::async_trait]
impl Echo for Echoes {
    /// Ping-pong: may return the exception that the IDL declares.
    async fn ping(&self, _: Context, req: Req) -> Result<Resp, EchoPingError> {
        match req.seq {
            Some(seq) if seq >= 0 => Ok(resp("pong", seq)),
            _ => Err(EchoError { code: Some(400), reason: Some("no number".into()) }.into()),
        }
    }

    /// One request, one response; or a business error, which is not a failure of the call.
    async fn unary(&self, _: Context, req: Req) -> Result<Resp> {
        match req.msg.as_deref() {
            Some("") | None => Err(BizStatusError::new(404, "nothing to echo").into()),
            Some(msg) => Ok(resp(msg, 1)),
        }
    }

    /// A stream of requests, one response.
    async fn up(&self, _: Context, mut stream: ClientStreamingServer<Req>) -> Result<Resp> {
        let mut sum = 0;
        while let Some(req) = stream.recv().await? {
            sum += req.seq.unwrap_or_default();
        }
        Ok(resp("sum", sum))
    }

    /// One request, a stream of responses, between a header and a trailer.
    async fn down(&self, _: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        stream.set_header("unit", "words")?;
        let words = req.msg.unwrap_or_default();
        for (seq, word) in (0..).zip(words.split(' ')) {
            stream.send(&resp(word, seq)).await?;
        }
        stream.set_trailer("mood", "fine");
        Ok(())
    }

    /// Streams of requests and responses.
    async fn bidi(&self, _: Context, mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        while let Some(req) = stream.recv().await? {
            stream.send(&resp("again", req.seq.unwrap_or_default())).await?;
        }
        Ok(())
    }

    /// A call without a response.
    async fn note(&self, ctx: Context, req: Req) -> Result<()> {
        println!("note: {:?} from {:?}", req.msg.unwrap_or_default(), ctx.peer().and_then(Address::ip));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Ended {
    let address = serve(Server::builder("echo").service(EchoServer::new(Echoes))).await?;
    let client = EchoClient::new(Client::builder("echo").caller("reader").address(address).build()?);
    let ctx = Context::background();

    client.note(&ctx, req("hello", 0)).await?;
    println!("ping: {:?}", client.ping(&ctx, req("", 7)).await?.seq);
    let thrown = client.ping(&ctx, req("", -1)).await.expect_err("an exception of the IDL");
    assert!(matches!(thrown, EchoPingError::E(EchoError { code: Some(400), .. })), "{thrown}");
    println!("unary: {:?}", client.unary(&ctx, req("hello", 0)).await?.msg);
    let error = client.unary(&ctx, req("", 0)).await.expect_err("a business error");
    assert_eq!(error.biz().map(|biz| biz.code), Some(404));
    println!("unary: {error}");

    let mut up = client.up(&ctx).await?;
    for seq in 1..=10 {
        up.send(&req("", seq)).await?;
    }
    let sum = up.close_and_recv().await?.seq;
    println!("up: 1 + ... + 10 = {sum:?}");
    assert_eq!(sum, Some(55));

    let mut down = client.down(&ctx, req("why is the sky blue", 0)).await?;
    println!("down: header unit={:?}", down.header().await?.get_str("unit"));
    let mut words = Vec::new();
    while let Some(response) = down.recv().await? {
        words.push(response.msg.unwrap_or_default());
    }
    println!("down: {words:?}, trailer mood={:?}", down.trailer().unwrap_or_default().get_str("mood"));
    assert_eq!(words, ["why", "is", "the", "sky", "blue"]);

    let mut bidi = client.bidi(&ctx).await?;
    for seq in 0..3 {
        bidi.send(&req("", seq)).await?;
        println!("bidi: {:?}", bidi.recv().await?.and_then(|response| response.seq));
    }
    bidi.close_send();
    assert_eq!(bidi.recv().await?, None, "the clean end");
    Ok(())
}
