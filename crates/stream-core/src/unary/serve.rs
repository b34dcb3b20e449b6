//! Serves the calls of one connection, one after the other.

use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use kerrors::{ApplicationException, Code, MessageKind, StreamError};
use tokio::net::TcpStream;
use ttheader_codec::key;

use super::wire::{Message, Outgoing, decode, encode};
use super::{CallProtocol, UnaryAnswer, UnaryCall};
use crate::Metadata;
use crate::cancel::{Reason, Scope};
use crate::observe::call_name;
use crate::server::{Handler, HandlerError, Peer, Phase, Served, Serving, guard, panicked};

/// Bytes of later calls that are read while one is served.
const READ_AHEAD: usize = 64 * 1024;

/// Serves calls until the peer closes the connection or breaks the protocol.
pub(crate) async fn serve_calls<H: Handler>(
    serving: &Serving<H>,
    socket: TcpStream,
    peer: SocketAddr,
    buf: BytesMut,
    protocol: CallProtocol,
) -> io::Result<()> {
    let mut connection = Connection { serving, socket, buf, protocol, peer: Peer { address: peer } };
    let mut phase = serving.phase.subscribe();
    loop {
        let message = tokio::select! {
            biased;
            message = connection.next_message() => message?,
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        connection.serve(message).await?;
    }
}

struct Connection<'a, H> {
    serving: &'a Serving<H>,
    socket: TcpStream,
    buf: BytesMut,
    protocol: CallProtocol,
    peer: Peer,
}

impl<H: Handler> Connection<'_, H> {
    async fn next_message(&mut self) -> io::Result<Option<Message>> {
        let limits = &self.serving.config.connection.limits;
        loop {
            match decode(self.protocol, &mut self.buf, limits) {
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
        let called = call_name(metadata.get(key::IDL_SERVICE).map_or(&[][..], |name| name), name.as_bytes());
        let call = UnaryCall {
            method: name.clone(),
            metadata,
            body,
            scope: scope.clone(),
            timeout,
            peer: self.peer,
        };
        let answered = kind != MessageKind::Oneway;
        let answer = self.run(call, &called, &scope, answered).await;
        scope.cancel(&Reason::Stream(StreamError::new(Code::HANDLER_RETURNED)));
        if !answered {
            return Ok(());
        }
        let mut out = BytesMut::new();
        put_answer(self.protocol, &name, sequence_id, answer, &mut out);
        write_all(&self.socket, &mut out, self.serving.config.connection.write_timeout).await
    }

    async fn run(&mut self, call: UnaryCall, called: &str, scope: &Scope, answered: bool) -> UnaryAnswer {
        let Self { serving, socket, buf, .. } = self;
        let guarded = match serving.handler.clone().unary(call) {
            Ok(Served { handler, on_cancel }) => {
                guard(handler, scope, on_cancel.unwrap_or(serving.config.on_cancel))
            }
            Err(refused) => return UnaryAnswer::refused(refused),
        };
        let mut phase = serving.phase.subscribe();
        let watch = async {
            tokio::select! {
                // Who waits for no answer may go as soon as the call is sent.
                () = closed(socket, buf), if answered => {}
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => {}
            }
            scope.cancel(&Reason::Stream(StreamError::new(Code::CONNECTION_CLOSED)));
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            biased;
            result = guarded => result,
            () = watch => return UnaryAnswer::refused(ApplicationException::new(0, "")),
        };
        match result {
            Ok(Ok(answer)) => answer,
            Ok(Err(panic)) => UnaryAnswer::refused(panicked(called, &*panic)),
            Err(reason) => UnaryAnswer::refused(ApplicationException::failed(&reason)),
        }
    }
}

impl UnaryAnswer {
    /// An answer without a handler.
    pub fn refused(exception: ApplicationException) -> Self {
        Self { metadata: Metadata::new(), result: Err(HandlerError::Refused(exception)) }
    }
}

/// A result with no field set: what stands beside a business error.
const EMPTY_RESULT: &[u8] = &[0];

fn put_answer(protocol: CallProtocol, name: &str, sequence_id: i32, answer: UnaryAnswer, out: &mut BytesMut) {
    let UnaryAnswer { mut metadata, result } = answer;
    let (kind, body) = match result {
        Ok(body) => (MessageKind::Reply, body),
        Err(error) => match error.into_exception(&mut metadata) {
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
