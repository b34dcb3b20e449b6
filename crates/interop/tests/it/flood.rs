//! Some attacks of the table that `cargo xtask flood` runs: each does what its row says, and the server serves others.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use interop::flood::{Attack, attacks, play};
use interop::local::TRANSPORT;
use kitex::Context;
use serde_json::Value;

use crate::local::request;
use crate::peer::Peer::Rust;
use crate::peer::Process;

/// What shows that an attack has reached what it is meant for.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// The server has closed its connections.
    Closed,
    /// Its streams have handlers, which end with it.
    Handlers,
}

const ROWS: &[(&str, Effect)] = &[
    ("stream-zero", Effect::Closed),
    ("handlers", Effect::Handlers),
    ("grpc-continuation", Effect::Closed),
    ("grpc-handlers", Effect::Handlers),
];
/// Seconds that a machine of a tenth of a core may take.
const ATTEMPTS: u32 = 60;

fn attack(name: &str) -> &'static Attack {
    attacks().find(|attack| attack.name == name).unwrap_or_else(|| panic!("no attack {name}"))
}

/// Attacks for a second, and again until a connection is closed.
fn closes(attack: &Attack, address: SocketAddr) -> bool {
    (0..ATTEMPTS).any(|_| play(attack, address, Duration::from_secs(1)).unwrap().closed > 0)
}

fn is_canceled_handler(line: &Value) -> bool {
    line["ev"] == "server" && line["m"] == "Down.idle"
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_attacks_have_their_effect_and_the_server_serves_others() {
    for &(name, effect) in ROWS {
        let (server, address) = Process::serve(Rust, "");
        let attack = attack(name);
        let to: SocketAddr = address.parse().unwrap();
        match effect {
            Effect::Closed => assert!(closes(attack, to), "{name}: no connection is closed"),
            Effect::Handlers => {
                let outcome = play(attack, to, Duration::from_secs(1)).unwrap();
                assert!(outcome.units > 0, "{name}: {outcome:?}");
                let canceled = |lines: &[Value]| lines.iter().any(is_canceled_handler).then_some(());
                server.find(&format!("{name}: a handler that is canceled"), canceled);
            }
        }
        let client = TRANSPORT.client(&address, "ServiceB", "ServiceA").unwrap();
        let echo = async {
            let mut stream = client.bidi(&Context::background()).await?;
            stream.send(&request("after the attack")).await?;
            stream.recv().await
        };
        let echo = tokio::time::timeout(Duration::from_secs(60), echo).await;
        let resp = echo.unwrap_or_else(|_| panic!("{name}: no echo")).unwrap();
        assert_eq!(resp.and_then(|resp| resp.msg).as_deref(), Some("after the attack"), "{name}");
    }
}

#[test]
fn flood_attacks_loopback_only() {
    let refused = play(attack("handlers"), "192.0.2.1:9001".parse().unwrap(), Duration::from_secs(1));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn flood_rows_have_names_of_their_own_and_send_what_is_bounded() {
    let names: BTreeSet<&str> = attacks().map(|attack| attack.name).collect();
    assert_eq!(names.len(), attacks().count());
    for attack in attacks() {
        let name = attack.name;
        let first = (attack.unit)(0, 0);
        assert_eq!(first.is_empty(), name == "unused-connections", "{name}");
        assert!((0..100).all(|at| (attack.unit)(0, at).len() < 1024 * 1024), "{name}: units are paced");
        assert!(attack.connections <= 1_000 && attack.most <= 1_000_000 && attack.seconds < 30, "{name}");
    }
}
