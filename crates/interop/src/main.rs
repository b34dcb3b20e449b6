//! `lab-peer`: the peer of every interop, chain and performance test. It and the peer on real Kitex take the
//! same arguments and print the same lines, so that any mix of both is one command.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use interop::bench::BenchArgs;
use interop::client::ClientArgs;
use interop::isolate::IsolateArgs;
use interop::latency::LatArgs;
use interop::server::ServerArgs;
use interop::stress::{HoldArgs, RedialArgs, SlowArgs};
use tracing_subscriber::filter::LevelFilter;

#[derive(Debug, Parser)]
#[command(about = "The test peer of this workspace; see crates/interop/README.md")]
struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serves Lab, alone or as a hop of a chain.
    Server(ServerArgs),
    /// Makes one call and prints its results.
    Client(ClientArgs),
    /// Measures throughput.
    Bench(BenchArgs),
    /// Opens streams and cancels each; the last server prints when its handler is canceled.
    Lat(LatArgs),
    /// Reads one message a second from a fast sender, and prints its own memory.
    Slow(SlowArgs),
    /// Holds many idle streams.
    Hold(HoldArgs),
    /// Calls once a second, whether the server is up or not.
    Redial(RedialArgs),
    /// Opens many streams on one connection, cancels half of them, and prints the ends of all.
    Isolate(IsolateArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
    let ended = match Args::parse().role {
        Role::Server(args) => interop::server::run(args).await,
        Role::Client(args) => interop::client::run(args).await,
        Role::Bench(args) => interop::bench::run(args).await,
        Role::Lat(args) => interop::latency::run(args).await,
        Role::Slow(args) => interop::stress::slow(args).await,
        Role::Hold(args) => interop::stress::hold(args).await,
        Role::Redial(args) => interop::stress::redial(args).await,
        Role::Isolate(args) => interop::isolate::run(args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-peer: {error}{}", interop::dial::advice(&*error));
            ExitCode::FAILURE
        }
    }
}
