//! The server's side of the seam: TTHeader Streaming, and ping-pong calls in TTHeader and framed Thrift.

use std::io;
use std::sync::Arc;

use kerrors::Side;
use stream_core::handler::ServerHandle;
use stream_core::stream::NewStream;
use stream_core::transport::{Accepted, BoxFuture, PREFACE_LEN, Protocol};

use crate::driver::{read_loop, start};
use crate::proto::Config;
use crate::stream::Stream;
use crate::unary::{CallProtocol, serve_calls};

/// Returns the protocols of this crate, each connection of which has the bounds of `config`: TTHeader
/// Streaming, TTHeader ping-pong and framed Thrift.
pub fn protocols(config: &Config) -> Vec<Arc<dyn Protocol>> {
    let calls = |protocol| Arc::new(Calls { protocol, config: config.clone() }) as Arc<dyn Protocol>;
    vec![Arc::new(Streams(config.clone())), calls(CallProtocol::Ttheader), calls(CallProtocol::Framed)]
}

/// A flag of a TTHeader frame.
const STREAMING_FLAG: u8 = 0x02;

/// TTHeader Streaming.
#[derive(Debug)]
struct Streams(Config);

impl Protocol for Streams {
    fn name(&self) -> &'static str {
        "TTHeader Streaming"
    }

    fn detect(&self, preface: &[u8; PREFACE_LEN]) -> bool {
        matches!(preface, [_, _, _, _, 0x10, 0x00, _, flags] if flags & STREAMING_FLAG != 0)
    }

    fn serve(&self, accepted: Accepted, server: ServerHandle) -> BoxFuture<'static, io::Result<()>> {
        let config = self.0.clone();
        Box::pin(serve_streams(accepted, server, config))
    }
}

async fn serve_streams(accepted: Accepted, server: ServerHandle, config: Config) -> io::Result<()> {
    let Accepted { io, read } = accepted;
    let timed = config.recv_timeout.is_some();
    let link = start(Side::Server, io, config, server.config().idle_timeout);
    let (opener, handlers) = (link.clone(), server.clone());
    let reading = read_loop(link.clone(), read, move |key| {
        handlers.serve_stream(NewStream::new(Stream::server(opener.clone(), key, timed)));
    });
    let shutdown = async {
        server.draining().await;
        link.drain();
        server.closing().await;
        link.end_all(&server.config().service);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        // Before the reader: what is opened from then on is refused.
        () = shutdown => {}
        () = reading => {}
    }
    Ok(())
}

/// Ping-pong calls, one after the other on each connection.
#[derive(Debug)]
struct Calls {
    protocol: CallProtocol,
    config: Config,
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
        Box::pin(serve_calls(server, accepted, self.config.clone(), self.protocol))
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
        let protocols = protocols(&Config::default());
        for (preface, name) in rows {
            let found: Vec<_> = protocols.iter().filter(|protocol| protocol.detect(preface)).collect();
            assert_eq!(found.iter().map(|protocol| protocol.name()).next(), *name, "{preface:?}");
            assert!(found.len() <= 1, "{preface:?}");
        }
    }
}
