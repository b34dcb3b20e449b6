//! What only a Rust client can do: say why it cancels, or drop its stream. Each hop says so.

use serde_json::json;

use crate::chain::{Chain, Told};
use crate::peer::Peer::{self, Go, Rust};
use crate::peer::go_is_here;

const CANCELED: &str = "user code invoking stream RPC with context processed by context.WithCancel or context.WithTimeout, then invoking cancel() actively";

#[test]
fn each_hop_reads_the_cause_of_a_cancel() {
    check_cause(&[Rust, Rust, Rust]);
}

#[test]
fn each_hop_of_both_reads_the_cause_of_a_cancel() {
    if go_is_here() {
        check_cause(&[Go, Rust, Go]);
    }
}

#[test]
fn dropping_a_stream_cancels_each_hop() {
    check_drop(&[Rust, Rust, Rust]);
}

#[test]
fn dropping_a_stream_cancels_each_hop_of_both() {
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
    check(servers, "cancelcause", &told(&end, error, "user pressed stop"));
}

fn check_drop(servers: &[Peer]) {
    let end = json!({"ev": "client", "kind": "other", "n": 2});
    check(servers, "drop", &told(&end, "[ttstream error, code=12007]", CANCELED));
}

fn check(servers: &[Peer], what: &str, expected: &Told) {
    let mut chain = Chain::start(servers);
    for pool in ["mux", "long", "short"] {
        chain.check(Rust, &format!("--what {what} --msg n=2;idle --after 2 --pool {pool}"), expected);
    }
    chain.finish();
}

/// What a chain prints of a stream that ends by `error` after two messages, its client by `end`.
fn told(end: &serde_json::Value, error: &str, text: &str) -> Told {
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
