//! The client: its connection, and the subcommand that holds idle streams.

pub(crate) mod bench;
pub(crate) mod latency;

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use interop::line::print;
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

use crate::failure::Failure;
use crate::lab::{LabClient, Req};
use crate::server::WINDOWS;

/// The server of a client.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// Address of the server.
    #[arg(long, default_value = "127.0.0.1:9001")]
    addr: String,
}

impl Target {
    /// Returns a client with one connection.
    pub(crate) async fn client(&self) -> Result<LabClient<Channel>, Failure> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr))?
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .tcp_nodelay(true);
        Ok(LabClient::new(endpoint.connect().await?))
    }
}

/// The arguments of `tonic-peer hold`.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    target: Target,
    /// Number of streams.
    #[arg(long, default_value_t = 10_000)]
    c: i64,
    /// Seconds to hold them.
    #[arg(long, default_value_t = 3)]
    t: u64,
}

/// Holds idle streams, and exits without closing them.
pub(crate) async fn hold(args: HoldArgs) -> Result<(), Failure> {
    let mut client = args.target.client().await?;
    let mut streams = Vec::new();
    for seq in 0..args.c {
        streams.push(client.down(idle(seq)).await?);
    }
    print(&json!({"ev": "held"}));
    tokio::time::sleep(Duration::from_secs(args.t)).await;
    std::process::exit(0);
}

pub(crate) fn idle(seq: i64) -> Req {
    Req { msg: "idle".to_owned(), seq, payload: Bytes::new() }
}
