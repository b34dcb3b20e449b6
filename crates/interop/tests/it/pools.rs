//! Each peer prints the same output with every kind of pool.

use crate::cases::Recorded;
use crate::chain::Chain;
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::go_is_here;

const POOLS: &[&str] = &["--pool mux", "--pool mux --psize 3", "--pool long", "--pool short"];

const CASES: &[&str] = &[
    "--what up --msg hello",
    "--what bidi --msg hello",
    "--what down --msg n=2;hdr",
    "--what down --msg n=1;delay=50;fail",
    "--what cancel --msg n=3;idle --after 3",
    "--what timeout --msg n=2;idle --after 600",
    "--what down --msg n=3",
];

/// Calls of one server.
const CALLS: &[&str] = &["--what ping --msg hello", "--what unary --msg hello", "--what unary --msg fail"];

#[test]
fn rust_to_rust_prints_the_same_from_every_pool() {
    check(&[Rust, Rust]);
}

#[test]
fn rust_to_kitex_prints_the_same_from_every_pool() {
    check(&[Rust, Go]);
}

#[test]
fn kitex_to_rust_prints_the_same_from_every_pool() {
    check(&[Go, Rust]);
}

#[test]
fn a_rust_chain_prints_the_same_from_every_pool() {
    check(&[Rust, Rust, Rust, Rust]);
}

#[test]
fn a_mixed_chain_prints_the_same_from_every_pool() {
    check(&[Rust, Go, Rust, Go]);
}

fn check(peers: &[Peer]) {
    if peers.contains(&Go) && !go_is_here() {
        return;
    }
    let (client, servers) = peers.split_first().expect("a mix has a client");
    let (recorded, cases) = match servers.len() {
        1 => (Recorded::pair(), [CASES, CALLS].concat()),
        _ => (Recorded::chain(), CASES.to_vec()),
    };
    for pool in POOLS {
        let mut chain = Chain::start_with(servers, pool);
        recorded.check(&mut chain, *client, pool, &cases);
        chain.finish();
    }
}
