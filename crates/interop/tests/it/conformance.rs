//! The frame scripts of `interop::conformance`, with `lab-peer` as the server and as the client.
//! `cargo xtask conformance` runs them with real Kitex beside it.

use std::time::Duration;

use interop::conformance::report::{Peer, Report, Row};
use interop::conformance::{clients, servers};

use crate::peer::Peer::Rust;
use crate::peer::Process;

/// Far above what any script needs, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn conformance_scripts_pass_against_our_server() {
    let (_server, address) = Process::serve(Rust, "--name ServiceB");
    check(&servers(&[address], "", PATIENCE), 300);
}

#[test]
fn conformance_scripts_pass_against_our_client() {
    let command = format!("{} client", env!("CARGO_BIN_EXE_lab-peer"));
    check(&clients(&[command], "", PATIENCE), 160);
}

/// A run of a wrong server fails: one of another protocol passes none of the scripts that need an answer.
#[test]
fn conformance_scripts_fail_against_a_server_of_another_kind() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let rows = servers(&[address], "Down: 1 messages", PATIENCE);
    assert!(!rows.is_empty() && rows.iter().all(|row| !row.outcomes[0].passed), "{rows:?}");
}

fn check(rows: &[Row], least: usize) {
    let ours = Peer { name: "ours".to_owned(), is_kitex: false };
    let report = Report::new(&[ours], rows);
    assert!(report.problems.is_empty(), "{}", report.problems.join("\n"));
    assert!(rows.len() >= least, "{} scripts", rows.len());
}
