//! Code and path of a cancel over gRPC: they pass between Rust peers, Kitex in any place changes nothing of what it
//! says, and no byte goes to Kitex that it does not know.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use crate::cases::{GRPC_STREAMS, Recorded};
use crate::chain::{Chain, Output};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::{Process, go_is_here};

const CANCELED: &str = "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";
const RST_BY_A: &str = "rpc error: code = 1 desc = transport: RSTStream Frame received with error code: CANCEL [triggered by ServiceA]";

/// A -grpc-> B -tt-> C: who stands there, and code and path that C says.
const CROSSINGS: &[(Peer, Peer, Peer, &str, &str, &str)] = &[
    (Rust, Rust, Rust, "12007", "ServiceA -> ServiceB", CANCELED),
    (Rust, Rust, Go, "12007", "ServiceA -> ServiceB", CANCELED),
    // With Kitex in the middle, and from Kitex, as Kitex says it.
    (Rust, Go, Rust, "12011", "non-ttstream path -> ServiceB", RST_BY_A),
    (Go, Rust, Rust, "12011", "non-ttstream path -> ServiceB", RST_BY_A),
    (Go, Go, Rust, "12011", "non-ttstream path -> ServiceB", RST_BY_A),
];

#[test]
fn code_and_path_of_a_cancel_cross_from_grpc_to_ttheader_between_rust_peers() {
    for (a, b, c, code, path, text) in CROSSINGS {
        if [a, b, c].contains(&&Go) && !go_is_here() {
            continue;
        }
        let mut chain = Chain::start_with(&[*b, *c], ORIGIN);
        let client = format!("--proto grpc --what cancel --msg n=2;idle --after 2 {ORIGIN}");
        // B's own line is the same, but for the path that its error has not.
        let at_b = if *code == "12011" { String::new() } else { "[canceled path: ServiceA] ".to_owned() };
        chain.check(*a, &client, &end_at_client(*b == Rust, code, &at_b, path, text));
        chain.finish();
    }
}

const ORIGIN: &str = "rust:--cancel-origin";

fn end_at_client(transient: bool, code: &str, at_b: &str, path: &str, text: &str) -> Output {
    // Kitex passes no transient metainfo on from gRPC to TTHeader.
    let first = if transient { "pk=pval;tk=tval" } else { "pk=pval;tk=" };
    let error = format!("[ttstream error, code={code}]");
    let err = format!("{error} [client-side stream] {at_b}{text}");
    let header = json!({"content-type": "application/grpc+thrift"});
    vec![
        vec![
            json!({"ev": "client", "first": {"msg": first, "seq": 0}, "header": header}),
            json!({"ev": "cancel"}),
            json!({"ev": "client", "err": "rpc error: code = 1 desc = context canceled", "kind": "other", "n": 2}),
        ],
        vec![
            json!({"ev": "server", "svc": "ServiceB", "m": "Down.recv", "err": err, "kind": "canceled", "n": 2}),
        ],
        vec![
            json!({"ev": "done", "svc": "ServiceC", "seq": 0}),
            json!({
                "ev": "server", "svc": "ServiceC", "m": "Down.idle", "kind": "canceled", "n": 2,
                "err": format!("{error} [server-side stream] [canceled path: {path}] {text}"),
            }),
        ],
    ]
}

#[test]
fn origins_change_no_line_of_a_grpc_chain() {
    if !go_is_here() {
        return;
    }
    let mixes: [[Peer; 4]; 3] = [[Rust, Rust, Rust, Rust], [Rust, Rust, Go, Rust], [Go, Rust, Rust, Go]];
    let cancels: Vec<&str> = GRPC_STREAMS.iter().copied().filter(|case| case.contains("cancel")).collect();
    for [client, servers @ ..] in mixes {
        let mut chain = Chain::start_with(&servers, &format!("--proto grpc {ORIGIN}"));
        Recorded::grpc_chain().check(&mut chain, client, ORIGIN, &cancels);
        chain.finish();
    }
}

#[test]
fn kitex_is_sent_no_frame_that_it_does_not_know() {
    if !go_is_here() {
        return;
    }
    for (client, server, own) in [(Rust, Go, false), (Go, Rust, false), (Rust, Rust, true)] {
        let (served, address) = Process::serve(server, ORIGIN);
        let relay = Relay::to(address);
        let words = "--proto grpc --what cancel --msg n=2;idle --after 2";
        let ended =
            Process::start(client, &format!("client --addr {} {words} {ORIGIN}", relay.address)).ends();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        served.take(2);
        let kinds = relay.kinds();
        assert!(kinds.contains(&RST_STREAM), "{client:?} to {server:?}: {kinds:?}");
        assert_eq!(
            kinds.iter().any(|kind| *kind > LAST_OF_HTTP2),
            own,
            "{client:?} to {server:?}: {kinds:?}"
        );
    }
}

const RST_STREAM: u8 = 3;
const LAST_OF_HTTP2: u8 = 9;

/// Passes the bytes of one connection on, and keeps them.
struct Relay {
    address: String,
    seen: [Arc<Mutex<Vec<u8>>>; 2],
}

impl Relay {
    fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = [Arc::default(), Arc::default()];
        let [up, down] = seen.clone();
        thread::spawn(move || {
            let near = listener.accept().unwrap().0;
            let far = TcpStream::connect(server).unwrap();
            let (near_in, far_in) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || pass(near_in, far, &up));
            pass(far_in, near, &down);
        });
        Self { address, seen }
    }

    /// Types of all frames, of both directions.
    fn kinds(&self) -> Vec<u8> {
        let [up, down] = [&self.seen[0], &self.seen[1]].map(|seen| seen.lock().unwrap().clone());
        let mut kinds = Vec::new();
        for mut rest in [&up[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()..], &down[..]] {
            while let Some([high, middle, low, kind]) = rest.first_chunk::<4>() {
                kinds.push(*kind);
                let len = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                rest = rest.get(9 + len..).unwrap_or_default();
            }
        }
        kinds
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, seen: &Mutex<Vec<u8>>) {
    let mut buf = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buf) {
        seen.lock().unwrap().extend_from_slice(&buf[..len]);
        if to.write_all(&buf[..len]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
