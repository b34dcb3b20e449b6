//! What the programs of the chain share: the transport between them, messages, and the line that says how a stream ended.

use std::time::Duration;

use clap::{Args, ValueEnum};
use interop::dial::Failure;
use interop::lab::{LabClient, Req, Resp};
use kitex::client::{ConnectionConfig, Transport};
use kitex::{Client, Error};
use serde_json::{Value, json};

/// What the streams of a chain travel over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wire {
    /// TTHeader Streaming.
    TtHeader,
    /// TTHeader Streaming, with flow control by credits.
    Credits,
    /// gRPC.
    Grpc,
}

impl Wire {
    pub(crate) const ALL: [Self; 3] = [Self::TtHeader, Self::Credits, Self::Grpc];

    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TtHeader => "TTHeader",
            Self::Credits => "credits",
            Self::Grpc => "gRPC",
        }
    }

    /// Its value on a command line.
    pub(crate) fn arg(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the sender waits for as long as its reader takes nothing: no slow consumer ends.
    pub(crate) const fn waits_for_readers(self) -> bool {
        matches!(self, Self::Credits | Self::Grpc)
    }
}

/// How a program calls the next.
#[derive(Clone, Debug, Args)]
pub(crate) struct Link {
    /// What its connections speak.
    #[arg(long, value_enum)]
    wire: Wire,
}

impl Link {
    /// A client of the service at `addr`.
    pub(crate) fn client(&self, own: &str, addr: &str, slow: bool) -> Result<LabClient, Failure> {
        let transport = if self.wire == Wire::Grpc { Transport::Grpc } else { Transport::TtHeader };
        let client = Client::builder("next").caller(own).address(addr).transport(transport);
        Ok(LabClient::new(client.connection(self.connection(slow)).build()?))
    }

    /// The configuration of an end of a connection. One whose reader is slow waits for it for 2 s, so that a run does not
    /// need 30.
    pub(crate) fn connection(&self, slow: bool) -> ConnectionConfig {
        let config = ConnectionConfig::default().flow_credits(self.wire == Wire::Credits);
        if slow { config.slow_consumer_timeout_exclusive(Duration::from_secs(2)) } else { config }
    }
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
