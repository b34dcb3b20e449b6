//! Serves the calls of one connection, one after the other.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, Code, MessageKind, StreamError};
use stream_core::call::{HandlerError, UnaryCall, UnaryResponse};
use stream_core::cancel::{Reason, Scope};
use stream_core::handler::ServerHandle;
use stream_core::transport::Accepted;
use tokio::net::TcpStream;

use super::CallProtocol;
use super::wire::{Message, Outgoing, decode, encode};
use crate::proto::Config;
use crate::{Metadata, head, status};

/// Bytes of later calls that are read while one is served.
const READ_AHEAD: usize = 64 * 1024;

/// Serves calls until the peer closes the connection or violates the protocol.
pub(crate) async fn serve_calls(
    server: ServerHandle,
    accepted: Accepted,
    config: Config,
    protocol: CallProtocol,
) -> io::Result<()> {
    let Accepted { io: socket, read: buf } = accepted;
    let peer = socket.peer_addr()?;
    let mut connection = Connection { server: server.clone(), socket, buf, config, protocol, peer };
    loop {
        let message = tokio::select! {
            biased;
            message = connection.next_message() => message?,
            () = server.draining() => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        connection.serve(message).await?;
    }
}

struct Connection {
    server: ServerHandle,
    socket: TcpStream,
    buf: BytesMut,
    config: Config,
    protocol: CallProtocol,
    peer: SocketAddr,
}

impl Connection {
    async fn next_message(&mut self) -> io::Result<Option<Message>> {
        loop {
            match decode(self.protocol, &mut self.buf, &self.config.limits) {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) if read_some(&self.socket, &mut self.buf).await? == 0 => return Ok(None),
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    async fn serve(&mut self, message: Message) -> io::Result<()> {
        let Message { name, kind, sequence_id, metadata, timeout, body } = message;
        let scope = Scope::new();
        let method = Bytes::copy_from_slice(name.as_bytes());
        let head = head::received(method, metadata, timeout, self.peer);
        let call = UnaryCall { head, body, scope: scope.clone() };
        let has_response = kind != MessageKind::Oneway;
        let response = self.run(call, &scope, has_response).await;
        scope.cancel(&Reason::Stream(StreamError::new(Code::HANDLER_RETURNED)));
        if !has_response {
            return Ok(());
        }
        let mut out = BytesMut::new();
        put_response(self.protocol, &name, sequence_id, response, &mut out);
        write_all(&self.socket, &mut out, self.config.write_stall).await
    }

    async fn run(
        &mut self,
        call: UnaryCall,
        scope: &Scope,
        has_response: bool,
    ) -> UnaryResponse<HandlerError> {
        let Self { server, socket, buf, .. } = self;
        let handling = server.serve_unary(call);
        let watch = async {
            tokio::select! {
                // The client of a oneway call may go as soon as the call is sent.
                () = closed(socket, buf), if has_response => {}
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
    if let Err(error) = encode(protocol, &message, out) {
        let text = format!("answer cannot be sent: {error}");
        let body = ApplicationException::new(ApplicationException::INTERNAL_ERROR, text).encode_body();
        let (kind, metadata) = (MessageKind::Exception, &Metadata::new());
        // Small, so it is never refused.
        let _ = encode(
            protocol,
            &Outgoing { name, kind, sequence_id, metadata, body: &body, request: None },
            out,
        );
    }
}

pub(super) async fn read_some(socket: &TcpStream, buf: &mut BytesMut) -> io::Result<usize> {
    loop {
        socket.readable().await?;
        buf.reserve(READ_AHEAD);
        match socket.try_read_buf(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// Waits until the peer has closed the connection, as far as can be seen without reading too much.
async fn closed(socket: &TcpStream, buf: &mut BytesMut) {
    while buf.len() < READ_AHEAD {
        if !matches!(read_some(socket, buf).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

pub(super) async fn write_all(
    socket: &TcpStream,
    out: &mut BytesMut,
    stall: std::time::Duration,
) -> io::Result<()> {
    use bytes::Buf;
    while out.has_remaining() {
        match socket.try_write(out) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => out.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::timeout(stall, socket.writable()).await.map_err(|_| stalled())??;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn stalled() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "peer takes no data")
}
