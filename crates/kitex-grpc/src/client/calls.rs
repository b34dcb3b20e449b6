//! Ping-pong calls: one message each way, on a stream of the client's pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, GoDuration, GrpcStatus};
use stream_core::call::{OutgoingCall, UnaryRequest, UnaryResponse};
use stream_core::stream::RecvStream;
use stream_core::transport::{BoxFuture, OpenStreams, UnaryFailure, UnaryTransport};
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
        let UnaryRequest { call, .. } = request;
        let started = clock::now();
        let begun = self.begin(request).await;
        let mut receiver = match begun {
            Ok(receiver) => receiver,
            Err(error) => return Err(ended(call, started, None, error)),
        };
        let peer = receiver.info().peer.to_string();
        if call.method.is_oneway() {
            // No caller waits for the response, but dropping the stream would cancel it.
            tokio::spawn(async move { while let Ok(Some(_)) = receiver.recv().await {} });
            return Ok(UnaryResponse {
                metadata: Metadata::new(),
                trailer: Metadata::new(),
                backward: Vec::new(),
                result: Ok(Bytes::new()),
            });
        }
        match receive(&mut receiver).await {
            Ok(body) => {
                let metadata = receiver.header().await.unwrap_or_default();
                let trailer = receiver.trailer().unwrap_or_default();
                Ok(UnaryResponse { metadata, trailer, backward: Vec::new(), result: Ok(body) })
            }
            Err(error) => Err(ended(call, started, Some(&peer), error)),
        }
    }

    async fn begin(&self, request: &UnaryRequest<'_>) -> Result<RecvStream, Error> {
        let (sender, receiver) = self.streams.open(&request.call).await?;
        request.connected(&receiver.info().local, &receiver.info().peer);
        sender.send_bytes(request.body.clone()).await?;
        request.sent();
        sender.close_send();
        Ok(receiver)
    }
}

impl UnaryTransport for Calls {
    fn call<'a>(&'a self, request: UnaryRequest<'a>) -> BoxFuture<'a, Result<UnaryResponse, UnaryFailure>> {
        // Its stream has been tried again already where that may be.
        Box::pin(async move { Ok(self.call_now(&request).await?) })
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

/// Returns the error of a call with Kitex's text: that of its own timeout, or that of the stream with a
/// prefix.
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
            let ended = GrpcStatus::new(status.code(), text).with_kind(status.kind()).bare();
            status.origin().cloned().into_iter().fold(ended, GrpcStatus::with_origin).into()
        }
        Error::Grpc(status) => Error::network(status),
        error => error,
    }
}
