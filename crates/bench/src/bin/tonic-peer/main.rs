//! The lab service on tonic: the part of `lab-peer`'s arguments and lines that benchmarks need.
//!
//! Tuned for speed: no Nagle at either end, flow control windows of 1 MiB per stream and 16 MiB per
//! connection (our defaults), no timeouts, no limit of streams that a bench could reach, payloads as `Bytes`,
//! so that prost does not copy them. Echo maps the handler's own stream, without a task or a channel between.
//! One connection, and one worker per core.

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
    /// Opens streams and drops each; the last server prints when its handler is canceled.
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
