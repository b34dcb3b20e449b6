//! Each mix of Rust and Go prints the output of Kitex alone.

use crate::cases::{CALLS, GRPC_CALLS, GRPC_STREAMS, Recorded, STREAMS};
use crate::chain::Chain;
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::go_is_here;

#[test]
fn a_kitex_pair_prints_what_is_recorded() {
    if go_is_here() {
        Recorded::pair().prove(Chain::start(&[Go]), &[STREAMS, CALLS].concat());
    }
}

#[test]
fn a_kitex_chain_prints_what_is_recorded() {
    if go_is_here() {
        Recorded::chain().prove(Chain::start(&[Go, Go, Go]), STREAMS);
    }
}

#[test]
fn a_kitex_pair_by_grpc_prints_what_is_recorded() {
    if go_is_here() {
        Recorded::grpc_pair().prove(Chain::start(&[Go]), &[GRPC_STREAMS, GRPC_CALLS].concat());
    }
}

#[test]
fn a_kitex_chain_by_grpc_prints_what_is_recorded() {
    if go_is_here() {
        Recorded::grpc_chain().prove(Chain::start_with(&[Go, Go, Go], GRPC), GRPC_STREAMS);
    }
}

/// The arguments of servers that call the next by gRPC.
const GRPC: &str = "--proto grpc";

#[test]
fn rust_to_rust_prints_what_kitex_prints() {
    check(&[Rust, Rust]);
}

#[test]
fn rust_to_kitex_prints_what_kitex_prints() {
    check(&[Rust, Go]);
}

#[test]
fn kitex_to_rust_prints_what_kitex_prints() {
    check(&[Go, Rust]);
}

#[test]
fn a_rust_chain_prints_what_kitex_prints() {
    check(&[Rust, Rust, Rust, Rust]);
}

#[test]
fn a_mixed_chain_from_rust_prints_what_kitex_prints() {
    check(&[Rust, Go, Rust, Go]);
}

#[test]
fn a_mixed_chain_from_kitex_prints_what_kitex_prints() {
    check(&[Go, Rust, Go, Rust]);
}

fn check(peers: &[Peer]) {
    if peers.contains(&Go) && !go_is_here() {
        return;
    }
    let (client, servers) = peers.split_first().expect("a mix has a client");
    let mut chain = Chain::start(servers);
    match servers.len() {
        1 => Recorded::pair().check(&mut chain, *client, "", &[STREAMS, CALLS].concat()),
        _ => Recorded::chain().check(&mut chain, *client, "", STREAMS),
    }
    chain.finish();
    let mut chain = Chain::start_with(servers, GRPC);
    match servers.len() {
        1 => Recorded::grpc_pair().check(&mut chain, *client, "", &[GRPC_STREAMS, GRPC_CALLS].concat()),
        _ => Recorded::grpc_chain().check(&mut chain, *client, "", GRPC_STREAMS),
    }
    chain.finish();
}
