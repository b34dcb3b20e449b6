//! Ping-pong calls: one message each way, on a stream of the client's pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, GoDuration, GrpcStatus};
use stream_core::call::{OutgoingCall, UnaryRequest, UnaryResponse};
use stream_core::stream::RecvStream;
use stream_core::transport::{BoxFuture, OpenStreams, UnaryTransport};
use stream_core::{Metadata, clock};

/// Makes the calls of one client.
#[derive(Debug)]
pub(super) struct Calls {
    streams: Arc<dyn OpenStreams>,
}

impl Calls {
    pub(super) fn new(streams: Arc<dyn OpenStreams>) -> Self {
        Self { streams }
    }

    async fn call_now(&self, request: &UnaryRequest<'_>) -> Result<UnaryResponse, Error> {
        let UnaryRequest { call, body } = request;
        let started = clock::now();
        let begun = self.begin(call, body).await;
        let mut receiver = match begun {
            Ok(receiver) => receiver,
            Err(error) => return Err(ended(call, started, None, error)),
        };
        let peer = receiver.info().peer.to_string();
        if call.method.is_oneway() {
            // Nobody waits for the answer, but a stream that is dropped is canceled.
            tokio::spawn(async move { while let Ok(Some(_)) = receiver.recv().await {} });
            return Ok(UnaryResponse {
                metadata: Metadata::new(),
                backward: Vec::new(),
                result: Ok(Bytes::new()),
            });
        }
        match receive(&mut receiver).await {
            Ok(body) => {
                let metadata = receiver.header().await.unwrap_or_default();
                Ok(UnaryResponse { metadata, backward: Vec::new(), result: Ok(body) })
            }
            Err(error) => Err(ended(call, started, Some(&peer), error)),
        }
    }

    async fn begin(&self, call: &OutgoingCall<'_>, body: &Bytes) -> Result<RecvStream, Error> {
        let (sender, receiver) = self.streams.open(call).await?;
        sender.send_bytes(body.clone()).await?;
        sender.close_send();
        Ok(receiver)
    }
}

impl UnaryTransport for Calls {
    fn call<'a>(&'a self, request: UnaryRequest<'a>) -> BoxFuture<'a, Result<UnaryResponse, Error>> {
        Box::pin(async move { self.call_now(&request).await })
    }
}

async fn receive(receiver: &mut RecvStream) -> Result<Bytes, Error> {
    let Some(body) = receiver.recv().await? else {
        return Err(GrpcStatus::protocol("EOF").bare().into());
    };
    match receiver.recv().await? {
        None => Ok(body),
        Some(_) => {
            let text = "KITEX: grpc client streaming protocol violation: get <nil>, want <EOF>";
            Err(GrpcStatus::protocol(text).bare().into())
        }
    }
}

/// Returns the error of a call in Kitex's words: those of its own timeout, or those of the stream behind a prefix.
fn ended(call: &OutgoingCall<'_>, started: Instant, peer: Option<&str>, error: Error) -> Error {
    let left = call.deadline.map(|deadline| deadline.saturating_duration_since(started));
    let remote = peer.map(|peer| format!(", remote={peer}")).unwrap_or_default();
    let timeout = GoDuration(left.unwrap_or(Duration::ZERO));
    let (to, method) = (call.callee, call.method.name());
    let text = format!("timeout={timeout}, to={to}, method={method}, location=kitex.rpcTimeoutMW{remote}");
    if call.deadline.is_some_and(|deadline| deadline <= clock::now()) {
        return Error::Timeout(text);
    }
    let canceled = call.scope.and_then(stream_core::cancel::Scope::reason).is_some();
    match error {
        Error::Grpc(status) if canceled => {
            let text = format!("rpc timeout: {text}: context canceled by business");
            GrpcStatus::new(status.code(), text).with_kind(status.kind()).bare().into()
        }
        Error::Grpc(status) => Error::network(status),
        error => error,
    }
}
