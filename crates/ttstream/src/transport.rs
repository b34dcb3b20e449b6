//! The `Transport` implementation of a client: a link as a pooled connection, and how links are made.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use kerrors::{Error, Side};
use stream_core::MemoryBudget;
use stream_core::call::{CallKind, OutgoingCall};
use stream_core::io::Io;
use stream_core::stream::NewStream;
use stream_core::transport::{self, BoxFuture, Transport, UnaryPaths, UnaryTransport};

use crate::driver::{Link, SocketConfig, read_loop, start};
use crate::head;
use crate::proto::{Config, Connection, Open};
use crate::stream::{PROTOCOL, Stream};
use crate::unary::{CallProtocol, Calls};

/// TTHeader Streaming for streams, TTHeader or framed Thrift for ping-pong calls.
#[derive(Clone, Debug, Default)]
pub struct TtStream {
    /// Windows and limits of each connection.
    pub connection: Config,
    /// The timeouts of each connection's socket.
    pub socket: SocketConfig,
    /// The protocol of ping-pong calls.
    pub call_protocol: CallProtocol,
    /// The memory that connections may hold.
    pub memory: MemoryBudget,
}

impl Transport for TtStream {
    fn connect(
        &self,
        io: Io,
        idle_timeout: Duration,
    ) -> BoxFuture<'_, Result<Arc<dyn transport::Connection>, Error>> {
        Box::pin(std::future::ready(self.start(io, idle_timeout)))
    }

    fn protocol(&self, kind: CallKind) -> &'static str {
        match kind {
            CallKind::PingPong => self.call_protocol.name(),
            _ => PROTOCOL,
        }
    }

    fn unary(&self, paths: UnaryPaths) -> Arc<dyn UnaryTransport> {
        Arc::new(Calls::new(paths, self.call_protocol, self.connection.limits, self.socket.write_timeout))
    }
}

impl TtStream {
    fn start(&self, io: Io, idle_timeout: Duration) -> Result<Arc<dyn transport::Connection>, Error> {
        stream_core::rt::check()?;
        let connection = Connection::new(Side::Client, self.connection.clone());
        let link = start(connection, io, self.socket, idle_timeout, self.memory.clone());
        tokio::spawn(read_loop(link.clone(), BytesMut::new(), |_| {}));
        Ok(link)
    }
}

impl transport::Connection for Link {
    fn poll_open(
        self: Arc<Self>,
        cx: &mut Context<'_>,
        call: &OutgoingCall<'_>,
    ) -> Poll<Result<NewStream, Error>> {
        let strings = head::strings(call);
        let open = Open {
            method: &self.prepare_method(call.method.service().as_bytes(), call.method.name().as_bytes())?,
            metadata: &strings,
            service: call.caller,
            deadline: call.deadline,
            wire_deadline: call.wire_deadline,
            recv_timeout: call.recv_timeout,
        };
        let key = ready!(Link::poll_open(&self, cx, &open))?;
        let stream = Stream::client(self, key, call.recv_timeout.is_some());
        Poll::Ready(Ok(NewStream::new(stream)))
    }

    fn is_open(&self) -> bool {
        self.is_open()
    }

    fn is_reusable(&self) -> bool {
        self.is_clean()
    }

    fn live_streams(&self) -> usize {
        self.live_streams()
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn lost_at_start(&self) -> Option<Error> {
        Link::lost_at_start(self).map(Error::from)
    }

    fn retire(&self) {
        self.retire();
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.closed())
    }
}
