//! `cargo xtask conformance`: frame scripts against servers and clients of TTHeader Streaming.

use clap::Args;

use crate::Result;
use crate::command::Cmd;
use crate::interop::build_peer;
use crate::workspace::Workspace;

/// Arguments of `cargo xtask conformance`. Without `--server` and `--client` it runs `lab-peer` and the peer on real Kitex.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Address of a server under test, which offers the service of crates/interop/idl/lab.thrift.
    #[arg(long, value_name = "ADDR")]
    server: Option<String>,
    /// Command of a client under test, which takes the words of `lab-peer client` after its own.
    #[arg(long, value_name = "COMMAND")]
    client: Option<String>,
    /// Runs only the scripts whose names have this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Runs `lab-peer` alone, without Kitex.
    #[arg(long)]
    ours: bool,
    /// Seconds that a peer has to send what it must.
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
}

pub(crate) fn run(options: &Options) -> Result {
    let workspace = Workspace::load()?;
    let mut conformance = Cmd::new("cargo run --release --package interop --bin conformance --");
    for (name, value) in
        [("--server", &options.server), ("--client", &options.client), ("--only", &options.only)]
    {
        if let Some(value) = value {
            conformance = conformance.arg(name).arg(value.as_str());
        }
    }
    if let Some(patience) = options.patience {
        conformance = conformance.arg("--patience").arg(patience.to_string());
    }
    if options.server.is_none() && options.client.is_none() {
        Cmd::new("cargo build --release --package interop --bin lab-peer").start()?;
        conformance = conformance.arg("--ours").path(&workspace.target.join("release/lab-peer"));
        if !options.ours {
            conformance = conformance.arg("--kitex").path(&build_peer(&workspace)?);
        }
    }
    conformance.start()
}
