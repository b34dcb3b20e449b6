//! A unary call: one message each way, on a stream.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;

use kerrors::{Error, GrpcStatus};
use stream_core::call::{HandlerError, StreamEnd, UnaryCall, UnaryResponse};
use stream_core::cancel::Scope;
use stream_core::handler::{Admission, ServerHandle};
use stream_core::{Message, Metadata};

use super::stream::ServerStream;

/// Serves a call to its end.
pub(super) async fn serve_unary(stream: Arc<ServerStream>, server: ServerHandle, admission: Admission) {
    let scope = Scope::labeled(stream.label());
    let Some(head) = stream.begin(&scope) else { return };
    let mut trailer = Metadata::new();
    let error = match poll_fn(|cx| stream.poll_recv(cx)).await {
        Ok(Some(body)) => {
            let call = UnaryCall { head, body, scope: scope.clone(), local: stream.local().clone() };
            let mut response = server.serve_unary_admitted(call, admission).await;
            trailer = mem::take(&mut response.trailer);
            respond(&stream, response).await.err()
        }
        Ok(None) => Some(HandlerError::Returned(GrpcStatus::protocol("EOF").into())),
        Err(error) => Some(HandlerError::Returned(error)),
    };
    if let Some(HandlerError::Overloaded(overload)) = error {
        return stream.refuse_overloaded(&overload.into(), &scope);
    }
    stream.finish(StreamEnd { trailer, error, ..StreamEnd::default() }, &scope);
}

async fn respond(stream: &ServerStream, response: UnaryResponse<HandlerError>) -> Result<(), HandlerError> {
    let UnaryResponse { metadata, result, .. } = response;
    stream.set_header(&metadata);
    let message = Message::Owned(result?);
    let sent: Result<(), Error> = poll_fn(|cx| stream.poll_send(cx, &message)).await;
    sent.map_err(HandlerError::Returned)
}
