//! What a request's headers start: a stream, a unary call, or an answer that refuses it.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use kerrors::GrpcStatus;
use stream_core::call::{CallHead, HandlerError};
use stream_core::handler::ServerHandle;
use stream_core::io::Address;
use stream_core::stream::NewStream;

use super::shared::Shared;
use super::stream::{Handle, Opening, ServerStream, refuse};
use super::unary::serve_unary;
use crate::header;
use crate::header::{GRPC_ENCODING, GRPC_TIMEOUT, SOURCE_SERVICE};
use crate::timeout;

/// Why a request is refused.
enum Refusal {
    Reset(Reason),
    Status(GrpcStatus),
}

/// Serves a request, or refuses it.
pub(super) fn accept(
    shared: &Arc<Shared<ServerStream>>,
    server: &ServerHandle,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (parts, body) = request.into_parts();
    let opening = match read(&parts, &shared.peer) {
        Ok(opening) => opening,
        Err(Refusal::Reset(reason)) => return respond.send_reset(reason),
        Err(Refusal::Status(status)) => {
            return refuse(respond, &status);
        }
    };
    // Kept beside the stream, so that a stream over the limit can be reset.
    let mut respond = Some(respond);
    let made = shared.add(|key| ServerStream::new(shared.clone(), key, opening, body, respond.take()));
    match made {
        Some(stream) => start(stream, server),
        None => respond.into_iter().for_each(|mut respond| respond.send_reset(Reason::REFUSED_STREAM)),
    }
}

fn start(stream: Arc<ServerStream>, server: &ServerHandle) {
    // From here on a reset is seen, and one that came before too.
    stream.look();
    let (service, method) = stream.names();
    let known = match (std::str::from_utf8(&service), std::str::from_utf8(&method)) {
        (Ok(service), Ok(method)) => server.method(service, method),
        _ => None,
    };
    let (is_unary, is_readable) =
        known.map_or((false, true), |known| (!known.mode().is_stream(), known.codec() == stream.codec()));
    if !is_readable {
        let status = GrpcStatus::new(GrpcStatus::INTERNAL, "grpc invalid payload");
        stream.refuse(&HandlerError::Returned(status.into()));
    } else if is_unary {
        tokio::spawn(serve_unary(stream, server.clone()));
    } else {
        server.serve_stream(NewStream::new(Handle::new(stream)));
    }
}

fn read(parts: &Parts, peer: &Address) -> Result<Opening, Refusal> {
    let headers = &parts.headers;
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| header::codec(value.as_bytes()));
    let codec = content_type.ok_or(Refusal::Reset(Reason::INTERNAL_ERROR))?;
    let timeout = match headers.get(GRPC_TIMEOUT) {
        Some(value) => Some(timeout::decode(value.as_bytes()).ok_or(Refusal::Reset(Reason::INTERNAL_ERROR))?),
        None => None,
    };
    let path = parts.uri.path();
    let Some((service, method)) = header::names(path) else {
        let text = format!("malformed method name, method={path:?}");
        return Err(Refusal::Status(GrpcStatus::new(GrpcStatus::INTERNAL, text)));
    };
    check_encoding(headers)?;
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let head = CallHead {
        service: copy(service),
        method: copy(method),
        metadata: header::metadata(headers),
        metainfo: header::metainfo(headers),
        timeout,
        peer: peer.clone(),
    };
    let source =
        headers.get(SOURCE_SERVICE).map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
    Ok(Opening { head, codec, source: source.unwrap_or_default(), timeout })
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(()),
        Some(name) => {
            let name = String::from_utf8_lossy(name.get(..64).unwrap_or(name));
            let text = format!("no kitex compressor registered found for:{name}");
            Err(Refusal::Status(GrpcStatus::new(12, text)))
        }
    }
}
