//! The client's side of the seam: a link as a pool's connection, and what makes links of sockets.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use kerrors::{Error, Side};
use stream_core::call::OutgoingCall;
use stream_core::io::Io;
use stream_core::stream::NewStream;
use stream_core::transport::{self, BoxFuture, Transport, UnaryPaths, UnaryTransport};

use crate::driver::{Link, SocketConfig, read_loop, start};
use crate::head;
use crate::proto::{Config, Connection, Open};
use crate::stream::{Stream, service_of};
use crate::unary::{CallProtocol, Calls};

/// TTHeader Streaming for streams, TTHeader or framed Thrift for ping-pong calls.
#[derive(Clone, Debug, Default)]
pub struct TtStream {
    /// Windows and limits of each connection.
    pub connection: Config,
    /// The timeouts of each connection's socket.
    pub socket: SocketConfig,
    /// How ping-pong calls travel.
    pub call_protocol: CallProtocol,
}

impl Transport for TtStream {
    fn connect(
        &self,
        io: Io,
        idle_timeout: Duration,
    ) -> BoxFuture<'_, Result<Arc<dyn transport::Connection>, Error>> {
        Box::pin(std::future::ready(self.start(io, idle_timeout)))
    }

    fn unary(&self, paths: UnaryPaths) -> Arc<dyn UnaryTransport> {
        let UnaryPaths { dialer, reuse, .. } = paths;
        Arc::new(Calls::new(
            dialer,
            self.call_protocol,
            self.connection.limits,
            self.socket.write_timeout,
            reuse,
        ))
    }
}

impl TtStream {
    fn start(&self, io: Io, idle_timeout: Duration) -> Result<Arc<dyn transport::Connection>, Error> {
        stream_core::rt::check()?;
        let link =
            start(Connection::new(Side::Client, self.connection.clone()), io, self.socket, idle_timeout);
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
            method: &self.prepare_method(call.method.name())?,
            metadata: &strings,
            service: call.caller,
            deadline: call.deadline,
            wire_deadline: call.wire_deadline,
            recv_timeout: call.recv_timeout,
        };
        let key = ready!(Link::poll_open(&self, cx, &open))?;
        let stream = Stream::client(self, key, service_of(&strings), call.recv_timeout.is_some());
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
