//! Servers that are down, slow consumers, clients that exit without closing.

use serde_json::Value;

use crate::chain::Chain;
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, free_address, go_is_here, say};

#[test]
fn redial_recovers_after_connection_refused() {
    check_redial(Rust);
}

#[test]
fn redial_of_kitex_recovers_after_connection_refused() {
    if go_is_here() {
        check_redial(Go);
    }
}

/// The server is down, then up, is killed, and is up again.
fn check_redial(peer: Peer) {
    let address = free_address();
    let client = Process::start(Rust, &format!("redial --addr {address} --t 600"));
    let await_result = |what: &str, is_it: fn(&str) -> bool| {
        let from = client.count();
        client.find(what, |lines| results(lines).skip(from).any(is_it).then_some(()));
    };
    for _ in 0..2 {
        await_result("a refused connection", |result| result.starts_with("cannot connect to "));
        let server = Process::start(peer, &format!("server --addr {address}"));
        assert!(server.listens(), "{server:?}");
        await_result("an answer", |result| result == "ok");
    }
}

fn results(lines: &[Value]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| line["r"].as_str())
}

#[test]
fn a_slow_consumer_uses_bounded_memory_by_flow_control() {
    check_slow(Rust);
}

#[test]
fn a_slow_consumer_of_kitex_uses_bounded_memory_by_flow_control() {
    if go_is_here() {
        check_slow(Go);
    }
}

fn check_slow(sender: Peer) {
    const SECONDS: usize = 8;
    const LITTLE_KB: u64 = 64 * 1024;
    let chain = Chain::start(&[sender]);
    let reader = Process::start(Rust, &format!("slow --addr {} --t {SECONDS}", chain.address));
    let ended = reader.ends();
    let most = ended.lines.iter().filter_map(|line| line["kb"].as_u64()).max().unwrap_or_default();
    say(&format!("{most} KB at most"));
    assert!(ended.lines.len() == SECONDS && ended.errors.is_empty(), "{ended:?}");
    assert!(most > 0 && most < LITTLE_KB, "{ended:?}");
}

#[test]
fn each_handler_is_canceled_when_its_client_exits() {
    check_left(Rust, &[Rust]);
}

#[test]
fn each_hop_is_canceled_when_the_client_exits() {
    check_left(Rust, &[Rust, Rust, Rust]);
}

#[test]
fn each_hop_of_rust_and_kitex_is_canceled_when_the_client_exits() {
    if go_is_here() {
        check_left(Go, &[Rust, Go, Rust]);
        check_left(Rust, &[Go, Rust, Go]);
    }
}

fn check_left(client: Peer, servers: &[Peer]) {
    const STREAMS: usize = 100;
    let sides: &[&str] = match servers.len() {
        1 => &[""],
        _ => &[
            "[client-side stream] ",
            "[client-side stream] [canceled path: ServiceB] ",
            "[server-side stream] [canceled path: ServiceB -> ServiceC] ",
        ],
    };
    let chain = Chain::start(servers);
    Process::start(client, &format!("hold --addr {} --c {STREAMS} --t 1", chain.address)).ends();
    for (server, side) in chain.servers().iter().zip(sides) {
        let errors = server.find("the end of each handler", |lines| {
            let errors: Vec<_> =
                lines.iter().filter_map(|line| line["err"].as_str().map(str::to_owned)).collect();
            (errors.len() == STREAMS).then_some(errors)
        });
        let expected = format!("[ttstream error, code=12013] {side}canceled by connection closed");
        for error in errors {
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn a_killed_server_ends_the_streams_of_its_client() {
    check_died(Rust);
}

#[test]
fn a_killed_kitex_server_ends_the_streams_of_its_client() {
    if go_is_here() {
        check_died(Go);
    }
}

fn check_died(peer: Peer) {
    let (server, address) = Process::serve(peer, "");
    let client = Process::start(Rust, &format!("client --addr {address} --what down --msg n=1;idle"));
    assert_eq!(client.take(1).len(), 1, "{client:?}");
    server.kill();
    let ended = client.ends();
    let error = "[ttstream error, code=12006] [client-side stream] connection ";
    assert!(ended.lines[0]["err"].as_str().is_some_and(|err| err.starts_with(error)), "{ended:?}");
    assert_eq!((&ended.lines[0]["kind"], &ended.lines[0]["n"]), (&"protocol".into(), &1.into()), "{ended:?}");
    assert!(ended.code == Some(1) && ended.errors.len() == 1, "{ended:?}");
}
