//! Serves the calls of one connection, one after the other.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kerrors::{ApplicationException, Code, MessageKind, StreamError};
use stream_core::call::{HandlerError, UnaryCall, UnaryResponse};
use stream_core::cancel::{Reason, Scope};
use stream_core::handler::ServerHandle;
use stream_core::io::{Address, Io, ReadBuffer, write_all};
use stream_core::transport::Accepted;
use ttheader_codec::Limits;

use super::CallProtocol;
use super::wire::{Message, Outgoing, Refused, decode, encode, peek_refused};
use crate::{Metadata, head, status};

/// Bytes of later calls that are read while one is served.
const READ_AHEAD: usize = 64 * 1024;

/// Serves calls until the peer closes the connection or violates the protocol.
pub(crate) async fn serve_calls(
    server: ServerHandle,
    accepted: Accepted,
    protocol: CallProtocol,
    limits: Limits,
    write_timeout: Duration,
) -> io::Result<()> {
    let Accepted { io, read } = accepted;
    let (peer, buffer) = (io.peer_addr().clone(), ReadBuffer::new(read));
    let mut connection =
        Connection { server: server.clone(), io, buffer, limits, write_timeout, protocol, peer };
    loop {
        let message = tokio::select! {
            biased;
            message = connection.next_message() => message?,
            () = server.draining() => return Ok(()),
        };
        match message {
            None => return Ok(()),
            Some(Next::Message(message)) => connection.serve(message).await?,
            Some(Next::Refused(refused, text)) => connection.refuse(refused, text).await?,
        }
    }
}

/// What comes next on a connection.
enum Next {
    Message(Message),
    /// A message that exceeds a limit, and the text that says which.
    Refused(Refused, String),
}

struct Connection {
    server: ServerHandle,
    io: Io,
    buffer: ReadBuffer,
    limits: Limits,
    write_timeout: Duration,
    protocol: CallProtocol,
    peer: Address,
}

impl Connection {
    async fn next_message(&mut self) -> io::Result<Option<Next>> {
        loop {
            match decode(self.protocol, self.buffer.bytes(), &self.limits) {
                Ok(Some(message)) => {
                    self.buffer.shrink();
                    return Ok(Some(Next::Message(message)));
                }
                Ok(None) if self.buffer.fill(&self.io).await? == 0 => return Ok(None),
                Ok(None) => {}
                Err(error) if error.is_over_limit() => {
                    let (text, limits) = (error.to_string(), &self.limits);
                    let refused = peek_refused(self.protocol, self.buffer.bytes(), limits, error);
                    match refused.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                        Some(refused) => return Ok(Some(Next::Refused(refused, text))),
                        None if self.buffer.fill(&self.io).await? == 0 => return Ok(None),
                        None => {}
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    /// Passes over a message that exceeds a limit, without keeping it, and answers that call alone.
    async fn refuse(&mut self, refused: Refused, text: String) -> io::Result<()> {
        let Refused { name, kind, sequence_id, len } = refused;
        let mut left = len;
        loop {
            let step = left.min(self.buffer.len());
            self.buffer.bytes().advance(step);
            self.buffer.shrink();
            left = left.saturating_sub(step);
            if left == 0 {
                break;
            }
            if self.buffer.fill(&self.io).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if kind == MessageKind::Oneway {
            return Ok(());
        }
        let exception = ApplicationException::new(ApplicationException::PROTOCOL_ERROR, text);
        let mut out = BytesMut::new();
        put_response(
            self.protocol,
            &name,
            sequence_id,
            UnaryResponse::refused(exception),
            &self.limits,
            &mut out,
        );
        write_all(&self.io, &mut out, self.write_timeout).await
    }

    async fn serve(&mut self, message: Message) -> io::Result<()> {
        let Message { name, kind, sequence_id, metadata, timeout, body } = message;
        let scope = Scope::new();
        let method = Bytes::copy_from_slice(name.as_bytes());
        let head = head::received(method, metadata, timeout, self.peer.clone());
        let call = UnaryCall { head, body, scope: scope.clone() };
        let has_response = kind != MessageKind::Oneway;
        let response = self.run(call, &scope, has_response).await;
        scope.cancel(&Reason::Stream(StreamError::new(Code::HANDLER_RETURNED)));
        if !has_response {
            return Ok(());
        }
        let mut out = BytesMut::new();
        put_response(self.protocol, &name, sequence_id, response, &self.limits, &mut out);
        write_all(&self.io, &mut out, self.write_timeout).await
    }

    async fn run(
        &mut self,
        call: UnaryCall,
        scope: &Scope,
        has_response: bool,
    ) -> UnaryResponse<HandlerError> {
        let Self { server, io, buffer, .. } = self;
        let handling = server.serve_unary(call);
        let watch = async {
            tokio::select! {
                // The client of a oneway call may go as soon as the call is sent.
                () = closed(io, buffer), if has_response => {}
                () = server.closing() => {}
            }
            scope.cancel(&Reason::Stream(StreamError::new(Code::CONNECTION_CLOSED)));
            std::future::pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            biased;
            response = handling => response,
            never = watch => match never {},
        }
    }
}

/// A result with no field set: what stands beside a business error.
const EMPTY_RESULT: &[u8] = &[0];

fn put_response(
    protocol: CallProtocol,
    name: &str,
    sequence_id: i32,
    response: UnaryResponse<HandlerError>,
    limits: &Limits,
    out: &mut BytesMut,
) {
    let UnaryResponse { mut metadata, backward, result } = response;
    head::put_backward(&mut metadata, &backward);
    let (kind, body) = match result {
        Ok(body) => (MessageKind::Reply, body),
        Err(error) => match status::into_exception(error, &mut metadata) {
            Some(exception) => (MessageKind::Exception, exception.encode_body().into()),
            None => (MessageKind::Reply, Bytes::from_static(EMPTY_RESULT)),
        },
    };
    let message = Outgoing { name, kind, sequence_id, metadata: &metadata, body: &body, request: None };
    if let Err(error) = encode(protocol, &message, limits, out) {
        let text = format!("answer cannot be sent: {error}");
        let body = ApplicationException::new(ApplicationException::INTERNAL_ERROR, text).encode_body();
        let (kind, metadata) = (MessageKind::Exception, &Metadata::new());
        // Bounded by the format alone: the caller waits for an answer.
        let _ = encode(
            protocol,
            &Outgoing { name, kind, sequence_id, metadata, body: &body, request: None },
            &Limits::FORMAT,
            out,
        );
    }
}

/// Waits until the peer has closed the connection, as far as can be seen without reading too much.
async fn closed(io: &Io, buffer: &mut ReadBuffer) {
    while buffer.len() < READ_AHEAD {
        if !matches!(buffer.fill(io).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}
