//! The `Protocol` implementations of a server: TTHeader Streaming, and ping-pong calls in TTHeader and framed
//! Thrift.

use std::io;
use std::sync::Arc;

use stream_core::handler::{ServerConfig, ServerHandle};
use stream_core::stream::NewStream;
use stream_core::transport::{Accepted, BoxFuture, PREFACE_LEN, Protocol};
use ttheader_codec::Limits;

use crate::driver::{SocketConfig, read_loop, start};
use crate::proto::{Config, Connection, ServerLimits};
use crate::stream::Stream;
use crate::unary::{CallProtocol, serve_calls};

/// Returns the protocols of this crate: TTHeader Streaming, TTHeader ping-pong and framed Thrift. Each connection
/// has the windows and limits of `config` and the timeouts of `socket`.
pub fn protocols(config: &Config, socket: SocketConfig) -> Vec<Arc<dyn Protocol>> {
    let calls = |protocol| Arc::new(Calls { protocol, limits: config.limits, socket }) as Arc<dyn Protocol>;
    vec![
        Arc::new(Streams(config.clone(), socket)),
        calls(CallProtocol::Ttheader),
        calls(CallProtocol::Framed),
    ]
}

/// A flag of a TTHeader frame.
const STREAMING_FLAG: u8 = 0x02;

/// TTHeader Streaming.
#[derive(Debug)]
struct Streams(Config, SocketConfig);

impl Protocol for Streams {
    fn name(&self) -> &'static str {
        "TTHeader Streaming"
    }

    fn detect(&self, preface: &[u8; PREFACE_LEN]) -> bool {
        matches!(preface, [_, _, _, _, 0x10, 0x00, _, flags] if flags & STREAMING_FLAG != 0)
    }

    fn serve(&self, accepted: Accepted, server: ServerHandle) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(serve_streams(accepted, server, self.0.clone(), self.1))
    }
}

async fn serve_streams(
    accepted: Accepted,
    server: ServerHandle,
    config: Config,
    socket: SocketConfig,
) -> io::Result<()> {
    let Accepted { io, read } = accepted;
    let &ServerConfig { max_concurrent_streams, recv_timeout, idle_timeout, .. } = server.config();
    let connection = Connection::server(config, ServerLimits { max_concurrent_streams, recv_timeout });
    let (link, timed) =
        (start(connection, io, socket, idle_timeout, server.config().memory.clone()), recv_timeout.is_some());
    link.set_server(&server.config().service);
    let (opener, handlers) = (link.clone(), server.clone());
    let reading = read_loop(link.clone(), read, move |key| match handlers.admit() {
        Ok(admission) => {
            let stream = NewStream::new(Stream::server(opener.clone(), key, timed));
            handlers.serve_admitted(stream, admission);
        }
        Err(overload) => opener.refuse(key, &overload.into()),
    });
    let shutdown = async {
        server.handing_over().await;
        link.hand_over();
        server.draining().await;
        link.turn_away();
        // Clients that know of the notice close the connection when it has no stream.
        let _ = tokio::time::timeout(server.config().handover, server.closing()).await;
        link.drain();
        server.closing().await;
        link.end_all(&server.config().service);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        // Polled before the reader: streams opened after the handover are refused.
        () = shutdown => {}
        () = reading => {}
    }
    Ok(())
}

/// Ping-pong calls, served sequentially on each connection.
#[derive(Debug)]
struct Calls {
    protocol: CallProtocol,
    limits: Limits,
    socket: SocketConfig,
}

impl Protocol for Calls {
    fn name(&self) -> &'static str {
        match self.protocol {
            CallProtocol::Ttheader => "TTHeader",
            CallProtocol::Framed => "framed Thrift",
        }
    }

    fn detect(&self, preface: &[u8; PREFACE_LEN]) -> bool {
        match (self.protocol, preface) {
            (CallProtocol::Ttheader, [_, _, _, _, 0x10, 0x00, _, flags]) => flags & STREAMING_FLAG == 0,
            (CallProtocol::Framed, [_, _, _, _, 0x80, 0x01, _, _]) => true,
            _ => false,
        }
    }

    fn serve(&self, accepted: Accepted, server: ServerHandle) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(serve_calls(server, accepted, self.protocol, self.limits, self.socket.write_timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detect_finds_the_protocol_of_a_preface() {
        let rows: &[(&[u8; 8], Option<&str>)] = &[
            (&[0, 0, 0, 86, 0x10, 0, 0, 2], Some("TTHeader Streaming")),
            (&[0, 0, 0, 86, 0x10, 0, 0, 3], Some("TTHeader Streaming")),
            (&[0, 0, 0, 184, 0x10, 0, 0, 0], Some("TTHeader")),
            (&[0, 0, 0, 51, 0x80, 1, 0, 1], Some("framed Thrift")),
            (b"PRI * HT", None),
            (b"GET / HT", None),
            (&[0x16, 3, 1, 2, 0, 1, 0, 1], None),
            (&[0x80, 1, 0, 1, 0, 0, 0, 4], None),
        ];
        let protocols = protocols(&Config::default(), SocketConfig::default());
        for (preface, name) in rows {
            let found: Vec<_> = protocols.iter().filter(|protocol| protocol.detect(preface)).collect();
            assert_eq!(found.iter().map(|protocol| protocol.name()).next(), *name, "{preface:?}");
            assert!(found.len() <= 1, "{preface:?}");
        }
    }
}
