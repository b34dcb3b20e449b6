//! The `Protocol` implementation of a server: detects HTTP/2.

use std::io;
use std::sync::Arc;

use stream_core::handler::ServerHandle;
use stream_core::log_limit::LogLimit;
use stream_core::transport::{Accepted, BoxFuture, PREFACE_LEN, Protocol};

use super::driver::serve_connection;
use crate::GrpcConfig;

/// Returns the protocols of this crate: gRPC. Each connection has the limits of `config`.
pub fn protocols(config: &GrpcConfig) -> Vec<Arc<dyn Protocol>> {
    vec![Arc::new(Grpc { config: config.clone(), too_many_resets: Arc::default() })]
}

/// gRPC over HTTP/2 without TLS.
#[derive(Debug)]
struct Grpc {
    config: GrpcConfig,
    /// Bounds the log lines of all connections.
    too_many_resets: Arc<LogLimit>,
}

impl Protocol for Grpc {
    fn name(&self) -> &'static str {
        "gRPC"
    }

    fn detect(&self, preface: &[u8; PREFACE_LEN]) -> bool {
        preface == b"PRI * HT"
    }

    fn serve(&self, accepted: Accepted, server: ServerHandle) -> BoxFuture<'static, io::Result<()>> {
        let (config, limit) = (self.config.clone(), self.too_many_resets.clone());
        Box::pin(serve_connection(accepted, server, config, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detect_finds_the_preface_of_http2() {
        let rows: [(&[u8; 8], bool); 4] = [
            (b"PRI * HT", true),
            (b"GET / HT", false),
            (&[0, 0, 0, 86, 0x10, 0, 0, 2], false),
            (&[0, 0, 0, 51, 0x80, 1, 0, 1], false),
        ];
        for (preface, found) in rows {
            let protocols = protocols(&GrpcConfig::default());
            assert_eq!(protocols.iter().any(|protocol| protocol.detect(preface)), found, "{preface:?}");
        }
    }
}
