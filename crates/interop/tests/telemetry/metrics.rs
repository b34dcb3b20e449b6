//! The scrape beside monitor-prometheus' of the same calls.

use std::collections::BTreeSet;
use std::time::Duration;

use interop::lab::{LabClient, Req};
use kitex::Context;
use kitex_metrics::Metrics;

use crate::peer::{Hop, KitexServer, client, kitex_client, program, serve};
use crate::receiver::Receiver;

/// How the calls end.
const ENDINGS: [&str; 4] = ["", "fail", "biz", "wait"];

/// Returns the families of `side`: help texts, types, and each time series with its labels.
fn families(text: &str, side: &str) -> BTreeSet<String> {
    let prefix = format!("kitex_{side}_");
    let of_side = |line: &&str| {
        let line = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        // Kitex's, which are of every call.
        ["throughput", "latency_us"].iter().any(|name| line.starts_with(&format!("{prefix}{name}")))
    };
    let shape = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => series.to_owned(),
        _ => line.to_owned(),
    };
    text.lines()
        .filter(of_side)
        .map(shape)
        .map(|line| line.replace("caller=\"unknown\"", "caller=\"user\""))
        .collect()
}

async fn rust_client(client: &LabClient, ending: &str) {
    let req = Req { msg: Some(ending.to_owned().into()), ..Req::default() };
    let mut stream = client.down(&Context::background(), req).await.expect("it is open");
    for _ in 0..3 {
        stream.recv().await.expect("three messages").expect("three messages");
    }
    if ending != "wait" {
        let _ = stream.recv().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_the_names_labels_buckets_and_counts_of_monitor_prometheus() {
    let Some(program) = program() else { return };
    let receiver = Receiver::start().await.expect("a free port of the loopback");
    let otlp = receiver.address.to_string();
    let kitex = KitexServer::start(&program, &["-name", "model", "-otlp", &otlp]);
    let (at_server, at_client) = (Metrics::new().expect("a registry"), Metrics::new().expect("a registry"));
    let of_server = at_server.clone();
    let ours = serve("model", Hop(None), |server| server.observer(of_server)).await;
    let of_client = at_client.clone();
    let to_kitex = client("model", &kitex.address, |client| client.caller("user").observer(of_client));

    let mut kitex_clients = BTreeSet::new();
    for ending in ENDINGS {
        for address in [&kitex.address, &ours] {
            let args = ["-name", "user", "-next-name", "model", "-otlp", &otlp, "-addr", address];
            let (ended, metrics) = kitex_client(&program, &args, ending).await;
            assert!(ended.starts_with("ended "), "{ended}");
            kitex_clients.extend(families(&metrics, "client"));
        }
        rust_client(&to_kitex, ending).await;
    }
    // Handlers return after their clients.
    for _ in 0..200 {
        let canceled = |line: &str| line.contains("side=\"server\"") && line.ends_with(" 1");
        if at_server
            .text()
            .lines()
            .any(|line| line.starts_with("kitex_stream_cancels_total") && canceled(line))
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(families(&at_client.text(), "client"), kitex_clients);
    // Kitex's server has had the calls of this library's client too, so each count is twice ours.
    let (theirs, ours) = (kitex.scrape(), at_server.text());
    assert_eq!(families(&ours, "server"), families(&theirs, "server"));
    let count = |text: &str, status: &str| {
        let line = |line: &&str| line.starts_with("kitex_server_throughput") && line.contains(status);
        text.lines()
            .filter(line)
            .map(|line| line.rsplit(' ').next().unwrap_or("0").parse::<u32>().expect("a count"))
            .sum()
    };
    for status in ["succeed", "error"] {
        let counts: (u32, u32) = (count(&ours, status), count(&theirs, status));
        assert_eq!(counts, (2, 4), "{status}\n{theirs}");
    }
    let latencies = families(&ours, "server").into_iter().filter(|line| line.contains("_bucket"));
    assert_eq!(latencies.count(), 18);
}
