//! Accepts a request by its headers: starts a stream or a unary call, or refuses it.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use kerrors::{CancelPath, GrpcStatus};
use stream_core::call::{CallHead, HandlerError};
use stream_core::handler::{Admission, ServerHandle};
use stream_core::io::Address;
use stream_core::stream::NewStream;

use super::handle::Handle;
use super::opening::{Opening, refuse};
use super::shared::Shared;
use super::stream::ServerStream;
use super::unary::serve_unary;
use crate::config::PROTOCOL;
use crate::header;
use crate::header::{GRPC_TIMEOUT, SOURCE_SERVICE};
use crate::timeout;

/// The reason to refuse a request.
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
    let is_ours = shared.config.cancel_origin && header::is_ours(request.headers());
    if is_ours {
        shared.origins.announce();
    }
    let admission = match server.admit() {
        Ok(admission) => admission,
        Err(overload) => {
            if is_ours {
                // Goes before the reset, which has no text.
                let id = respond.stream_id().as_u32();
                shared.origins.send(id, &overload.into(), &CancelPath::of(""));
            }
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
    };
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
    let header_bytes = header::list_size(&parts.headers);
    let made =
        shared.add(header_bytes, |key| ServerStream::new(shared.clone(), key, opening, body, respond.take()));
    match made {
        Some(stream) => start(stream, server, admission),
        None => respond.into_iter().for_each(|mut respond| respond.send_reset(Reason::REFUSED_STREAM)),
    }
}

fn start(stream: Arc<ServerStream>, server: &ServerHandle, admission: Admission) {
    // From here on resets are seen, including earlier ones.
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
        tokio::spawn(serve_unary(stream, server.clone(), admission));
    } else {
        server.serve_admitted(NewStream::new(Handle::new(stream)), admission);
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
    let compression = header::compression(headers)
        .map_err(|unknown| Refusal::Status(GrpcStatus::new(GrpcStatus::UNIMPLEMENTED, unknown.text())))?;
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let source =
        headers.get(SOURCE_SERVICE).map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
    let mut head = CallHead::new(copy(service), copy(method), peer.clone(), PROTOCOL);
    (head.metadata, head.metainfo) = (header::metadata(headers), header::metainfo(headers));
    (head.timeout, head.caller) = (timeout, source.as_deref().map(copy));
    let answer = compression.filter(|compression| header::accepts(headers, *compression));
    Ok(Opening { head, codec, compression, answer, source: source.unwrap_or_default(), timeout })
}
