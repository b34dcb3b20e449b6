//! Four clocks of a stream: how long a Recv may wait, the whole stream, a Send, and how long nothing may
//! pass at all. Each ends the stream at both ends, with a code of its own.
//! `cargo run -p kitex --example timeouts`

mod shared;

use std::time::Duration;

use kitex::client::ConnectionConfig;
use kitex::{Client, Code, Context, Error, Kind, RecvTimeout, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::sync::mpsc;

const SHORT: Duration = Duration::from_millis(50);

/// Answers late, never, or far too much; tells what its stream ended with.
struct Model(mpsc::Sender<Error>);

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(resp("pong", 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let ended = match req.msg.as_deref() {
            Some("late") => {
                ctx.until_canceled(tokio::time::sleep(8 * SHORT)).await?;
                return stream.send(&resp("sorry", 0)).await;
            }
            Some("much") => loop {
                let large = Resp { payload: Some(vec![7; 100_000].into()), ..resp("", 0) };
                if let Err(error) = stream.send(&large).await {
                    break error;
                }
            },
            _ => ctx.canceled().await.into(),
        };
        let _ = self.0.try_send(ended.clone());
        Err(ended)
    }
}

/// Receives until the stream ends, and not well.
async fn end_of(mut stream: kitex::ServerStreamingClient<Resp>) -> Error {
    loop {
        match stream.recv().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended well"),
            Err(error) => return error,
        }
    }
}

fn show(what: &str, client: &Error, server: &Error) {
    println!("{what}: {client}\n  the handler sees {}", brief(server));
    assert_eq!(client.kind().filter(|_| client.path().is_none()), Some(Kind::Timeout));
    assert_eq!(client.code(), server.code(), "both ends say the same");
}

#[tokio::main]
async fn main() -> Ended {
    let (tell, mut told) = mpsc::channel(4);
    let server = Server::builder("model").service(MirrorServer::new(Model(tell))).send_timeout(SHORT);
    let address = serve(server).await?;
    let builder = || Client::builder("model").caller("user").address(&*address);
    let client = MirrorClient::new(builder().build()?);
    let ctx = Context::background();

    // A Recv that waits too long cancels the stream, as in Kitex.
    let impatient = client.with_recv_timeout(RecvTimeout::new(SHORT));
    let error = end_of(impatient.down(&ctx, req("never", 0)).await?).await;
    show("recv", &error, &soon(told.recv()).await.expect("the handler tells"));
    assert_eq!(error.code(), Some(Code::RECV_TIMEOUT));

    // Unless it is told to leave the stream alone: then Recv can be tried again.
    let keeps = RecvTimeout { timeout: SHORT, disable_cancel_remote: true };
    let mut stream = client.with_recv_timeout(keeps).down(&ctx, req("late", 0)).await?;
    let mut tries = 0;
    let answer = loop {
        match stream.recv().await {
            Err(error) if error.stream().is_some_and(kitex::StreamError::is_retryable) => tries += 1,
            answer => break answer?,
        }
    };
    println!("recv, kept: {:?} after {tries} timeouts", answer.and_then(|answer| answer.msg));
    assert!(tries > 0, "the answer came late");

    // The whole stream: the deadline of its context, or `ClientBuilder::timeout`.
    let error = end_of(client.down(&ctx.with_timeout(4 * SHORT), req("never", 0)).await?).await;
    show("stream", &error, &soon(told.recv()).await.expect("the handler tells"));
    assert_eq!(error.code(), Some(Code::STREAM_TIMEOUT));

    // A Send that waits too long, here the handler's: nobody takes what it sends.
    let stream = client.down(&ctx, req("much", 0)).await?;
    let server = soon(told.recv()).await.expect("the handler tells");
    let error = end_of(stream).await;
    println!("send: {server}\n  the client sees {}", brief(&error));
    assert_eq!((error.code(), server.code()), (Some(Code::SEND_TIMEOUT), Some(Code::SEND_TIMEOUT)));

    // Nothing passes in either direction.
    let config = ConnectionConfig::default().stream_idle_timeout(SHORT);
    let watchful = MirrorClient::new(builder().connection(config).build()?);
    let error = end_of(watchful.down(&ctx, req("never", 0)).await?).await;
    show("idle", &error, &soon(told.recv()).await.expect("the handler tells"));
    assert_eq!(error.code(), Some(Code::IDLE_TIMEOUT));
    Ok(())
}
