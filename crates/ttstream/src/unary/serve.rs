//! Serves the ping-pong calls of one connection, sequentially.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kerrors::{ApplicationException, Code, MessageKind, StreamError};
use stream_core::call::{HandlerError, UnaryCall, UnaryResponse};
use stream_core::cancel::{Reason, Scope};
use stream_core::handler::ServerHandle;
use stream_core::io::{Address, Io, ReadBuffer, write_all};
use stream_core::transport::Accepted;
use ttheader_codec::key::IDL_SERVICE;
use ttheader_codec::{Limits, key};

use super::CallProtocol;
use super::pace::Pace;
use super::wire::{Message, Outgoing, Refused, decode, encode, peek_refused};
use crate::{Metadata, clock, head, status};

/// The number of bytes of later calls that are read while one is served.
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
    let mut connection = Connection {
        server: server.clone(),
        io,
        buffer,
        pace: Pace::default(),
        limits,
        write_timeout,
        protocol,
        peer,
    };
    let mut draining = false;
    loop {
        // What has begun to come is served.
        if draining && connection.buffer.is_empty() {
            return Ok(());
        }
        let message = tokio::select! {
            biased;
            message = connection.next_message() => message?,
            () = server.draining(), if !draining => {
                draining = true;
                continue;
            }
            () = server.closing() => return Ok(()),
        };
        match message {
            None => return Ok(()),
            Some(Next::Message(message)) => {
                if connection.serve(message).await? == Then::Close {
                    return Ok(());
                }
            }
            Some(Next::Refused(refused, text)) => connection.refuse(refused, text).await?,
        }
    }
}

/// What becomes of a connection after a call.
#[derive(PartialEq, Eq)]
enum Then {
    Next,
    /// The client was notified.
    Close,
}

/// The next message of a connection.
enum Next {
    Message(Message),
    /// A message that exceeds a limit, and the text that describes it.
    Refused(Refused, String),
}

struct Connection {
    server: ServerHandle,
    io: Io,
    buffer: ReadBuffer,
    pace: Pace,
    limits: Limits,
    write_timeout: Duration,
    protocol: CallProtocol,
    peer: Address,
}

impl Connection {
    async fn next_message(&mut self) -> io::Result<Option<Next>> {
        // The time for the message began when the last response was written.
        let mut completed = true;
        loop {
            match decode(self.protocol, self.buffer.bytes(), &self.limits) {
                Ok(Some(message)) => {
                    self.buffer.shrink();
                    return Ok(Some(Next::Message(message)));
                }
                Ok(None) if self.fill(completed, !self.buffer.is_empty()).await? == 0 => return Ok(None),
                Ok(None) => {}
                Err(error) if error.is_over_limit() => {
                    let (text, limits) = (error.to_string(), &self.limits);
                    let refused = peek_refused(self.protocol, self.buffer.bytes(), limits, error);
                    match refused.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                        Some(refused) => return Ok(Some(Next::Refused(refused, text))),
                        None if self.fill(completed, !self.buffer.is_empty()).await? == 0 => return Ok(None),
                        None => {}
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            completed = false;
        }
    }

    /// Reads more. Returns 0 if the peer has closed the connection, or was idle for the server's idle timeout.
    async fn fill(&mut self, completed: bool, partial: bool) -> io::Result<usize> {
        let idle_at = clock::now().checked_add(self.server.config().idle_timeout);
        self.pace.fill((&self.io, &mut self.buffer), completed, partial, idle_at).await
    }

    /// Skips a message that exceeds a limit without buffering it, and answers that call with an error.
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
            if self.fill(false, true).await? == 0 {
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

    async fn serve(&mut self, message: Message) -> io::Result<Then> {
        let Message { name, kind, sequence_id, mut metadata, timeout, body, from } = message;
        let scope = Scope::new();
        let method = Bytes::copy_from_slice(name.as_bytes());
        let protocol = self.protocol.name();
        let service = metadata.remove(IDL_SERVICE).unwrap_or_default();
        let mut head = head::received(service, method, metadata, timeout, self.peer.clone(), protocol);
        head.caller = from;
        let local = self.io.local_addr().clone();
        let call = UnaryCall { head, body, scope: scope.clone(), local };
        let has_response = kind != MessageKind::Oneway;
        let response = self.run(call, &scope, has_response).await;
        scope.cancel(&Reason::Stream(StreamError::new(Code::HANDLER_RETURNED)));
        if !has_response {
            return Ok(Then::Next);
        }
        let mut response = response;
        let then = match self.server.is_handing_over() && self.protocol == CallProtocol::Ttheader {
            true => Then::Close,
            false => Then::Next,
        };
        if then == Then::Close {
            response.metadata.insert(key::CONNECTION_RESET, "1");
        }
        let mut out = BytesMut::new();
        put_response(self.protocol, &name, sequence_id, response, &self.limits, &mut out);
        write_all(&self.io, &mut out, self.write_timeout).await?;
        Ok(then)
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
                biased;
                // The client of a oneway call may disconnect as soon as the call is sent.
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

/// A result without fields, which accompanies a business error.
const EMPTY_RESULT: &[u8] = &[0];

fn put_response(
    protocol: CallProtocol,
    name: &str,
    sequence_id: i32,
    response: UnaryResponse<HandlerError>,
    limits: &Limits,
    out: &mut BytesMut,
) {
    let UnaryResponse { mut metadata, trailer, backward, result } = response;
    metadata.extend(trailer.iter().map(|(key, value)| (key.clone(), value.clone())));
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
        let text = format!("response cannot be sent: {error}");
        let body = ApplicationException::new(ApplicationException::INTERNAL_ERROR, text).encode_body();
        let (kind, metadata) = (MessageKind::Exception, &Metadata::new());
        // Limited by the format only, since the caller waits for a response.
        let _ = encode(
            protocol,
            &Outgoing { name, kind, sequence_id, metadata, body: &body, request: None },
            &Limits::FORMAT,
            out,
        );
    }
}

/// Waits until the peer has closed the connection, as far as a bounded read-ahead can detect it.
async fn closed(io: &Io, buffer: &mut ReadBuffer) {
    while buffer.len() < READ_AHEAD {
        if !matches!(buffer.fill(io).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}
