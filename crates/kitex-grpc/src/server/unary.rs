//! A unary call: one message each way, on a stream.

use std::future::poll_fn;
use std::sync::Arc;

use kerrors::{Error, GrpcStatus};
use stream_core::Message;
use stream_core::call::{HandlerError, StreamEnd, UnaryCall, UnaryResponse};
use stream_core::cancel::Scope;
use stream_core::handler::ServerHandle;

use super::stream::ServerStream;

/// Serves a call to its end.
pub(super) async fn serve_unary(stream: Arc<ServerStream>, server: ServerHandle) {
    let scope = Scope::labeled(stream.label());
    let Some(head) = stream.begin(&scope) else { return };
    let error = match poll_fn(|cx| stream.poll_recv(cx)).await {
        Ok(Some(body)) => {
            let call = UnaryCall { head, body, scope: scope.clone() };
            let response = server.serve_unary(call).await;
            respond(&stream, response).await.err()
        }
        Ok(None) => Some(HandlerError::Returned(GrpcStatus::protocol("EOF").into())),
        Err(error) => Some(HandlerError::Returned(error)),
    };
    stream.finish(StreamEnd { error, ..StreamEnd::default() }, &scope);
}

async fn respond(stream: &ServerStream, response: UnaryResponse<HandlerError>) -> Result<(), HandlerError> {
    let UnaryResponse { metadata, result, .. } = response;
    stream.set_header(&metadata);
    let message = Message::Owned(result?);
    let sent: Result<(), Error> = poll_fn(|cx| stream.poll_send(cx, &message)).await;
    sent.map_err(HandlerError::Returned)
}
