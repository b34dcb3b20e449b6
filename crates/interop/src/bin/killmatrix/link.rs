//! What the programs of the chain share: the transport between them, messages, and the line that says how a stream ended.

use std::time::Duration;

use clap::Args;
use interop::dial::Failure;
use interop::lab::{LabClient, Req, Resp};
use kitex::client::{ConnectionConfig, Transport};
use kitex::{Client, Error};
use serde_json::{Value, json};

/// How a program calls the next.
#[derive(Clone, Debug, Args)]
pub(crate) struct Link {
    /// By gRPC instead of TTHeader Streaming.
    #[arg(long)]
    grpc: bool,
}

impl Link {
    /// A client of the service at `addr`.
    pub(crate) fn client(&self, own: &str, addr: &str) -> Result<LabClient, Failure> {
        self.client_with(own, addr, ConnectionConfig::default())
    }

    pub(crate) fn client_with(
        &self,
        own: &str,
        addr: &str,
        config: ConnectionConfig,
    ) -> Result<LabClient, Failure> {
        let transport = if self.grpc { Transport::Grpc } else { Transport::TtHeader };
        let client = Client::builder("next").caller(own).address(addr).transport(transport);
        Ok(LabClient::new(client.connection(config).build()?))
    }
}

/// A connection that waits for a slow consumer for 2 s, so that a run does not need 30.
pub(crate) fn impatient() -> ConnectionConfig {
    let mut config = ConnectionConfig::default();
    config.slow_consumer_timeout_exclusive = Duration::from_secs(2);
    config
}

pub(crate) fn req(word: &str, size: usize) -> Req {
    let payload = (size > 0).then(|| vec![0; size].into());
    Req { msg: Some(word.to_owned().into()), seq: None, payload }
}

pub(crate) fn resp(word: &str, size: usize) -> Resp {
    let Req { msg, seq, payload } = req(word, size);
    Resp { msg, seq, payload }
}

/// The line of a stream that has ended. Over gRPC the code is that of the cancel, or else the status.
pub(crate) fn end_line(name: &str, error: Option<&Error>) -> Value {
    let code = error.and_then(Error::code).map(kitex::Code::number);
    let text = error.map(ToString::to_string).unwrap_or_default();
    json!({"ev": "end", "svc": name, "code": code, "text": text})
}
