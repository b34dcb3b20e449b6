//! Attacks a server on loopback, or measures what another client sees meanwhile. `cargo xtask flood` runs the whole table.
//!
//! ```text
//! flood list
//! flood serve --addr 127.0.0.1:9001
//! flood attack rapid-reset --addr 127.0.0.1:9001
//! flood probe --addr 127.0.0.1:9001 --t 10
//! ```

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use interop::dial::{Failure, Proto};
use interop::flood::probe::{self, ProbeArgs};
use interop::flood::{attacks, play};
use interop::line::print;
use interop::server::{Lines, defaults};
use kitex::MemoryBudget;
use serde_json::json;

#[derive(Debug, Parser)]
#[command(about = "Attacks on a server of lab.thrift on this machine")]
struct Words {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Prints every attack as a line of JSON.
    List,
    /// Serves Lab with the default limits of the library; those of `lab-peer` are wider.
    Serve(ServeArgs),
    /// Runs one attack, and prints what was sent and which connections the server has closed.
    Attack(AttackArgs),
    /// Echoes on a connection of its own, and prints the latencies.
    Probe(ProbeArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Address to listen on.
    #[arg(long)]
    addr: String,
    /// Bytes of a memory budget in place of the default.
    #[arg(long)]
    memory_budget: Option<usize>,
}

#[derive(Debug, Args)]
struct AttackArgs {
    /// The name of the attack.
    name: String,
    /// Address of the server, on loopback.
    #[arg(long)]
    addr: SocketAddr,
    /// Seconds in place of those of the table.
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Words::parse().role {
        Role::List => list(),
        Role::Serve(args) => serve(&args).await,
        Role::Attack(args) => attack(&args),
        Role::Probe(args) => probe::run(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as every role")]
fn list() -> Result<(), Failure> {
    for attack in attacks() {
        let proto = if matches!(attack.proto, Proto::Grpc) { "grpc" } else { "tt" };
        print(&json!({
            "name": attack.name, "class": attack.class, "proto": proto, "seconds": attack.seconds,
        }));
    }
    Ok(())
}

async fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let budget = args.memory_budget.map_or_else(MemoryBudget::process, MemoryBudget::new);
    let server = defaults("ServiceB", None, Lines::Printed).memory_budget(budget).bind(&args.addr).await?;
    print(&json!({"ev": "listening"}));
    server.serve().await;
    Ok(())
}

fn attack(args: &AttackArgs) -> Result<(), Failure> {
    let attack = attacks().find(|attack| attack.name == args.name);
    let attack = attack.ok_or_else(|| format!("no attack has the name {}", args.name))?;
    let seconds = args.seconds.unwrap_or(attack.seconds);
    let outcome = play(attack, args.addr, Duration::from_secs(seconds))?;
    print(&json!({
        "ev": "attacked", "name": attack.name, "opened": outcome.opened, "closed": outcome.closed,
        "units": outcome.units, "bytes": outcome.bytes,
    }));
    Ok(())
}
