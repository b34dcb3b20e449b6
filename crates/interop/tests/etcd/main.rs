//! Discovery and registration beside Kitex's registry-etcd v0.3.0 on real Kitex, with a real etcd. `cargo xtask interop`
//! builds the program in `etcd-peer` and sets [`peer::PROGRAM`]; without it, or without etcd, the tests are skipped, and
//! say so.

mod peer;
#[allow(dead_code, reason = "the tests of kitex-etcd use the rest")]
#[path = "../../../kitex-etcd/tests/it/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::poll_fn;
use std::time::Duration;

use interop::lab::{LabClient, Req};
use kitex::client::{Discover, Instance, RoundRobin};
use kitex::{Client, Context};
use kitex_etcd::{Etcd, EtcdInstances};
use peer::{KitexClient, Peers, program};
use server::{EtcdServer, is_missing};

/// One server: on Kitex or of this library; its weight, 0 if none is given; its zone.
type Row = (&'static str, u32, Option<&'static str>);

/// Calls made by each client. A multiple of the sum of the weights of each row.
const CALLS: usize = 160;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kitex_and_this_library_discover_each_others_servers_with_weights() {
    let Some(program) = program() else { return };
    if is_missing() {
        return;
    }
    let rows: [&[Row]; 3] = [
        &[("kitex", 0, None), ("kitex", 30, Some("b"))],
        &[("rust", 0, None), ("rust", 30, Some("b"))],
        &[("kitex", 20, Some("a")), ("rust", 15, None), ("rust", 5, Some("b"))],
    ];
    for (number, row) in rows.iter().enumerate() {
        check(&program, number, row).await;
    }
}

async fn check(program: &str, number: usize, row: &[Row]) {
    let cluster = EtcdServer::start(&format!("kitex-{number}")).await;
    let etcd = Etcd::new([cluster.endpoint()]).refresh(Duration::ZERO).timeout(Duration::from_secs(60));
    let mut peers = Peers::default();
    for (at, (side, weight, zone)) in row.iter().enumerate() {
        let name = format!("s{at}");
        match *side {
            "kitex" => peers.kitex(program, &cluster.endpoint(), &name, *weight, *zone),
            _ => peers.rust(&etcd, &name, *weight, *zone).await,
        }
    }
    let instances = etcd.discover("model").expect("the name is good");
    let client = Client::builder("model").addresses(instances.clone()).balance(RoundRobin::default());
    let client = LabClient::new(client.build().expect("the name is good"));
    let mut kitex = KitexClient::start(program, &cluster.endpoint());

    // All of the servers, and then without one that has left.
    for left in [row.len(), row.len() - 1] {
        let expected = peers.instances(left);
        until(&expected, async || shown(&instances).await, |seen| *seen == expected).await;
        until(&expected, async || kitex.instances(), |seen| *seen == expected).await;
        let shares = peers.shares(left, CALLS);
        for streams in [false, true] {
            until(&shares, async || counts(&client, streams).await, |seen| shares.fit(seen)).await;
            let what = if streams { "streams" } else { "calls" };
            until(&shares, async || kitex.counts(what, CALLS), |seen| shares.fit(seen)).await;
        }
        if left == row.len() {
            peers.deregister_last().await;
        }
    }
}

/// Waits until what `look` returns `holds`: registries and clients learn of a change with delay.
async fn until<T: Debug>(expected: &dyn Debug, mut look: impl AsyncFnMut() -> T, holds: impl Fn(&T) -> bool) {
    let mut seen = look().await;
    for _ in 0..600 {
        if holds(&seen) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen = look().await;
    }
    panic!("{seen:?} is not {expected:?}");
}

/// Returns the instances, as `address weight zone`.
async fn shown(instances: &EtcdInstances) -> Vec<String> {
    let set = poll_fn(|cx| instances.poll_instances(cx, None)).await;
    let mut shown: Vec<_> = set.instances().iter().map(line).collect();
    shown.sort();
    shown
}

fn line(instance: &Instance) -> String {
    let zone = instance.tags.get("zone").map_or("", String::as_str);
    format!("{} {} {zone}", instance.address, instance.weight)
}

/// Makes calls, or opens streams. Returns how many of them each server has answered.
async fn counts(client: &LabClient, streams: bool) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..CALLS {
        let ctx = Context::background();
        let resp = match streams {
            false => client.ping(&ctx, Req::default()).await.expect("a server answers"),
            true => {
                let mut stream = client.down(&ctx, Req::default()).await.expect("it is open");
                stream.recv().await.expect("a message").expect("a message")
            }
        };
        *counts.entry(resp.msg.unwrap_or_default().to_string()).or_default() += 1;
    }
    counts
}
