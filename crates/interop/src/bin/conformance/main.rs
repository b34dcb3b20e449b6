//! Runs the frame scripts of `interop::conformance` against servers and clients, and prints a table.
//!
//! ```text
//! cargo xtask conformance
//! cargo xtask conformance --server 127.0.0.1:9001
//! cargo xtask conformance --client "target/debug/lab-peer client"
//! ```

mod server;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use interop::conformance::report::{Peer, Report, Row};
use interop::conformance::{clients, servers};

use self::server::Server;

#[derive(Debug, Parser)]
#[command(about = "Frame scripts for any server or client of TTHeader Streaming that offers Lab")]
struct Args {
    /// Address of a server under test.
    #[arg(long, value_name = "ADDR")]
    server: Vec<String>,
    /// Command of a client under test, which takes the words of `lab-peer client` after its own.
    #[arg(long, value_name = "COMMAND")]
    client: Vec<String>,
    /// The program of `lab-peer`: runs its server and its client.
    #[arg(long, value_name = "PROGRAM")]
    ours: Option<String>,
    /// The program of the peer on real Kitex, whose differences are listed.
    #[arg(long, value_name = "PROGRAM")]
    kitex: Option<String>,
    /// Runs the scripts whose names have this.
    #[arg(long, default_value = "")]
    only: String,
    /// Seconds that a peer has to send what it must.
    #[arg(long, default_value_t = 20)]
    patience: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let patience = Duration::from_secs(args.patience);
    let programs = [("ours", &args.ours), ("Kitex", &args.kitex)];
    let programs: Vec<_> =
        programs.iter().filter_map(|(name, program)| Some((*name, program.as_ref()?))).collect();
    let started: Result<Vec<Server>, String> =
        programs.iter().map(|(_, program)| Server::start(program)).collect();
    let started = match started {
        Ok(started) => started,
        Err(error) => {
            eprintln!("conformance: {error}");
            return ExitCode::FAILURE;
        }
    };
    let named = |name: &str| Peer { name: name.to_owned(), is_kitex: name == "Kitex" };
    let peers = |others: &[String]| -> Vec<Peer> {
        programs.iter().map(|(name, _)| *name).chain(others.iter().map(String::as_str)).map(named).collect()
    };
    let addresses: Vec<String> =
        started.iter().map(|server| server.address.clone()).chain(args.server.iter().cloned()).collect();
    let commands = programs.iter().map(|(_, program)| format!("{program} client"));
    let commands: Vec<String> = commands.chain(args.client.iter().cloned()).collect();

    let mut passed = true;
    if !addresses.is_empty() {
        passed &= show("Servers", &peers(&args.server), &servers(&addresses, &args.only, patience));
    }
    if !commands.is_empty() {
        passed &= show("Clients", &peers(&args.client), &clients(&commands, &args.only, patience));
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the table and the problems. Returns whether there are none.
fn show(title: &str, peers: &[Peer], rows: &[Row]) -> bool {
    let Report { table, problems } = Report::new(peers, rows);
    println!("{title}\n{table}");
    for problem in &problems {
        println!("{problem}");
    }
    problems.is_empty()
}
