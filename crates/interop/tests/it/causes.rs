//! Cancels that only a Rust client can make: with a cause, or by a drop of the stream. Each hop reports them.

use serde_json::json;

use crate::chain::{Chain, Output};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::go_is_here;

const CANCELED: &str = "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";

#[test]
fn cancel_with_cause_reaches_each_hop() {
    check_cause(&[Rust, Rust, Rust]);
}

#[test]
fn cancel_with_cause_reaches_each_hop_of_rust_and_kitex() {
    if go_is_here() {
        check_cause(&[Go, Rust, Go]);
    }
}

#[test]
fn dropping_a_stream_cancels_each_hop() {
    check_drop(&[Rust, Rust, Rust]);
}

#[test]
fn dropping_a_stream_cancels_each_hop_of_rust_and_kitex() {
    if go_is_here() {
        check_drop(&[Go, Rust, Go]);
    }
}

fn check_cause(servers: &[Peer]) {
    let error = "[ttstream error, code=12008]";
    let end = json!({
        "ev": "client", "err": format!("{error} [client-side stream] user pressed stop"), "kind": "canceled",
        "n": 2,
    });
    check(servers, "cancelcause", &expected_output(&end, error, "user pressed stop"));
}

fn check_drop(servers: &[Peer]) {
    let end = json!({"ev": "client", "kind": "other", "n": 2});
    check(servers, "drop", &expected_output(&end, "[ttstream error, code=12007]", CANCELED));
}

fn check(servers: &[Peer], what: &str, expected: &Output) {
    let mut chain = Chain::start(servers);
    for pool in ["mux", "long", "short"] {
        chain.check(Rust, &format!("--what {what} --msg n=2;idle --after 2 --pool {pool}"), expected);
    }
    chain.finish();
}

/// Returns the expected output of a chain for a stream that ends by `error` after two messages, its client by
/// `end`.
fn expected_output(end: &serde_json::Value, error: &str, text: &str) -> Output {
    let first = json!({"ev": "client", "first": {"msg": "pk=pval;tk=tval", "seq": 0}});
    let hop = |service: &str, method: &str, side: &str, path: &str| {
        let err = format!("{error} [{side}-side stream] [canceled path: {path}] {text}");
        json!({"ev": "server", "svc": service, "m": method, "err": err, "kind": "canceled", "n": 2})
    };
    vec![
        vec![first, json!({"ev": "cancel"}), end.clone()],
        vec![hop("ServiceB", "Down.recv", "client", "ServiceA")],
        vec![hop("ServiceC", "Down.recv", "client", "ServiceA -> ServiceB")],
        vec![
            json!({"ev": "done", "svc": "ServiceD", "seq": 0}),
            hop("ServiceD", "Down.idle", "server", "ServiceA -> ServiceB -> ServiceC"),
        ],
    ]
}
