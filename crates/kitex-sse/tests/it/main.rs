//! Event streams of calls, in memory on a paused clock, and over sockets with axum.

#[path = "../../../kitex/examples/generated/echo.rs"]
mod generated;

mod cancel;
mod events;
mod sockets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use generated::echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
use http::Response;
use kitex::testing::{Network, TestServer};
use kitex::{BizStatusError, Context, Error, Result, Server, ServerStreamingServer};
use kitex_sse::{Event, Sse, SseBody};
use tokio::sync::{Notify, mpsc};

/// Sends what the question says: words, each a message, or what its rows below say.
struct Speaker {
    sent: Arc<AtomicU64>,
    waits: Arc<Notify>,
    ended: mpsc::Sender<Error>,
}

#[kitex::async_trait]
impl Mirror for Speaker {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(Resp::default())
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        for word in req.msg.unwrap_or_default().split(' ') {
            match word {
                "fail" => return Err(BizStatusError::new(409, "it failed").into()),
                "sleep" => tokio::time::sleep(Duration::from_secs(60)).await,
                "wait" => {
                    self.waits.notify_one();
                    let reason = ctx.canceled().await;
                    let _ = self.ended.try_send(reason.into());
                    return Ok(());
                }
                "flood" => loop {
                    let big = Resp { payload: Some(vec![7; 4096].into()), ..Resp::default() };
                    if let Err(error) = stream.send(&big).await {
                        let _ = self.ended.try_send(error.clone());
                        return Err(error);
                    }
                    self.sent.fetch_add(1, Ordering::SeqCst);
                },
                word => stream.send(&Resp { msg: Some(word.to_owned().into()), ..Resp::default() }).await?,
            }
        }
        stream.set_trailer("finish", "stop");
        Ok(())
    }
}

struct Lab {
    client: MirrorClient,
    sent: Arc<AtomicU64>,
    /// A handler has begun to wait for its cancel.
    waits: Arc<Notify>,
    ended: mpsc::Receiver<Error>,
    _server: TestServer,
}

impl Lab {
    fn new() -> Self {
        let (network, sent, (end, ended)) = (Network::new(), Arc::default(), mpsc::channel(8));
        let waits = Arc::<Notify>::default();
        let speaker = Speaker { sent: Arc::clone(&sent), waits: waits.clone(), ended: end };
        let server = Server::builder("speaker").service(MirrorServer::new(speaker));
        let server = network.serve(server).expect("a server");
        let client = network.client("speaker").caller("edge").build().expect("a client");
        Self { client: MirrorClient::new(client), sent, waits, ended, _server: server }
    }

    async fn respond(&self, sse: Sse, words: &str) -> Response<SseBody> {
        respond(self.client.clone(), sse, words.to_owned()).await
    }

    /// Why the handler ended.
    async fn ended(&mut self) -> Error {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.ended.recv()).await;
        ended.expect("the handler ends").expect("an error")
    }
}

async fn respond(client: MirrorClient, sse: Sse, words: String) -> Response<SseBody> {
    let request = Req { msg: Some(words.into()), ..Req::default() };
    let open = |ctx: Context| async move { client.down(&ctx, request).await };
    sse.respond(&Context::background(), open, event).await
}

fn event(answer: Resp) -> Event {
    match answer.payload {
        Some(payload) => Event::data("x".repeat(payload.len())),
        None => Event::data(answer.msg.unwrap_or_default()),
    }
}

/// The handler was canceled by the edge, whose client disconnected.
fn assert_disconnected(error: &Error) {
    assert_eq!(error.code(), Some(kitex::Code::INTERNAL_CANCELED), "{error}");
    assert_eq!(error.path().map(ToString::to_string).as_deref(), Some("non-ttstream path -> edge"));
    assert_eq!(error.stream().map(kitex::StreamError::message), Some("client disconnected"));
}
