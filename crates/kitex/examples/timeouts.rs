//! The four timeouts of a stream: Recv, the whole stream, Send, and idle. Each ends the stream at both ends, with its own
//! code.
//! `cargo run -p kitex --example timeouts`

mod shared;

use std::time::Duration;

use kitex::client::ConnectionConfig;
use kitex::{Client, Code, Context, Error, ErrorKind, RecvTimeout, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::sync::mpsc;

const SHORT: Duration = Duration::from_millis(50);

/// Responds late, never, or with far too much; reports the error of its stream.
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

/// Receives until the stream fails.
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
    assert_eq!((client.kind(), client.path()), (ErrorKind::Timeout, None));
    assert_eq!(client.code(), server.code(), "both ends say the same");
}

#[tokio::main]
async fn main() -> Ended {
    let (reporter, mut reported) = mpsc::channel(4);
    let server = Server::builder("model").service(MirrorServer::new(Model(reporter))).send_timeout(SHORT);
    let address = serve(server).await?;
    let builder = || Client::builder("model").caller("user").address(&*address);
    let client = MirrorClient::new(builder().build()?);
    let ctx = Context::background();

    // A Recv timeout cancels the stream, as in Kitex.
    let impatient = client.with_recv_timeout(RecvTimeout::new(SHORT));
    let error = end_of(impatient.down(&ctx, req("never", 0)).await?).await;
    show("recv", &error, &soon(reported.recv()).await.expect("the handler reports"));
    assert_eq!(error.code(), Some(Code::RECV_TIMEOUT));

    // With `disable_cancel_remote` the stream is kept, and Recv can be retried.
    let keeps = RecvTimeout { timeout: SHORT, disable_cancel_remote: true };
    let mut stream = client.with_recv_timeout(keeps).down(&ctx, req("late", 0)).await?;
    let mut tries = 0;
    let response = loop {
        match stream.recv().await {
            Err(error) if error.stream().is_some_and(kitex::StreamError::is_retryable) => tries += 1,
            response => break response?,
        }
    };
    println!("recv, kept: {:?} after {tries} timeouts", response.and_then(|response| response.msg));
    assert!(tries > 0, "the response came late");

    // The whole stream: the deadline of its context, or `ClientBuilder::timeout`.
    let error = end_of(client.down(&ctx.with_timeout(4 * SHORT), req("never", 0)).await?).await;
    show("stream", &error, &soon(reported.recv()).await.expect("the handler reports"));
    assert_eq!(error.code(), Some(Code::STREAM_TIMEOUT));

    // A Send timeout, here of the handler: its messages are not received.
    let stream = client.down(&ctx, req("much", 0)).await?;
    let server = soon(reported.recv()).await.expect("the handler reports");
    let error = end_of(stream).await;
    println!("send: {server}\n  the client sees {}", brief(&error));
    assert_eq!((error.code(), server.code()), (Some(Code::SEND_TIMEOUT), Some(Code::SEND_TIMEOUT)));

    // No message is sent in either direction.
    let config = ConnectionConfig::default().stream_idle_timeout(SHORT);
    let watchful = MirrorClient::new(builder().connection(config).build()?);
    let error = end_of(watchful.down(&ctx, req("never", 0)).await?).await;
    show("idle", &error, &soon(reported.recv()).await.expect("the handler reports"));
    assert_eq!(error.code(), Some(Code::IDLE_TIMEOUT));
    Ok(())
}
