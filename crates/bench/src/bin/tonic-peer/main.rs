//! The lab service on tonic: the words of `lab-peer` and its lines, as far as a bench needs them.
//!
//! Set for speed where tonic leaves a choice: no Nagle at either end, windows of 1 MiB a stream and 16 MiB a
//! connection (what we buffer by default), no timeout, no limit of streams that a bench could reach, payloads
//! as `Bytes`, so that prost copies none. Echo is the handler's own stream mapped, without a task or a
//! channel between. One connection, and as many workers as there are cores.

mod client;
mod failure;
mod lab;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "lab-peer on tonic, for benches")]
struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serves Lab.
    Server(server::ServerArgs),
    /// Measures throughput.
    Bench(client::bench::BenchArgs),
    /// Opens streams and drops each; when the last handler learns of it, its server prints.
    Lat(client::latency::LatArgs),
    /// Holds many idle streams.
    Hold(client::HoldArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Args::parse().role {
        Role::Server(args) => server::run(args).await,
        Role::Bench(args) => client::bench::run(args).await,
        Role::Lat(args) => client::latency::run(args).await,
        Role::Hold(args) => client::hold(args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tonic-peer: {error}");
            ExitCode::FAILURE
        }
    }
}
