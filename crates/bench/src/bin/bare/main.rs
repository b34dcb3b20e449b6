//! The bare loop: the upper bound of performance on this wire, without RPC.
//!
//! For each message and at both ends it does: read the frame's header, take the payload out of the read
//! buffer without a copy, decode the Thrift struct, encode a Thrift struct, write a frame's header. Many
//! streams share one connection; the responses to one read are one write.
//!
//! It has no stream state, limits, flow control, wakes, handlers, cancels, timeouts, graceful close or error
//! reporting. One task does everything at each end, so no message waits for another task.

mod args;
mod calls;
mod client;
mod pump;
mod server;
mod tasks;
mod wire;

use std::io;
use std::net::SocketAddr;

use clap::{Parser, Subcommand, ValueEnum};
use tokio::runtime::{Builder, Runtime};

use crate::args::{BenchArgs, HoldArgs, Shape};

#[derive(Debug, Parser)]
#[command(about = "A loop over real frames and no RPC: the upper bound of this wire")]
struct Words {
    #[command(subcommand)]
    role: Role,
    /// The runtime of the loop.
    #[arg(long, value_enum, default_value = "workers", global = true)]
    runtime: Kind,
    /// Its structure.
    #[arg(long, value_enum, default_value = "loop", global = true)]
    shape: Shape,
    /// Address of the server.
    #[arg(long, default_value = "127.0.0.1:9001", global = true)]
    addr: SocketAddr,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A runtime with two workers, as `lab-peer` has it on two cores.
    Workers,
    /// A runtime on the current thread.
    Current,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Sends responses.
    Server,
    /// Measures throughput.
    Bench(BenchArgs),
    /// Holds many idle streams.
    Hold(HoldArgs),
}

fn main() -> io::Result<()> {
    let Words { role, runtime, shape, addr } = Words::parse();
    let runtime = runtime.build()?;
    // On a worker, if there are any: the future of `block_on` is not polled by a worker.
    let ended = match role {
        Role::Server => runtime.block_on(runtime.spawn(server::run(addr, shape))),
        Role::Bench(args) => match shape {
            Shape::Loop => runtime.block_on(runtime.spawn(client::bench(addr, args))),
            Shape::Tasks => runtime.block_on(runtime.spawn(tasks::bench(addr, args))),
        },
        Role::Hold(args) => runtime.block_on(runtime.spawn(client::hold(addr, args))),
    };
    ended?
}

impl Kind {
    fn build(self) -> io::Result<Runtime> {
        match self {
            Self::Workers => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
            Self::Current => Builder::new_current_thread().enable_all().build(),
        }
    }
}
