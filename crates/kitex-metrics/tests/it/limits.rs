//! What peers send does not make the registry grow without bound.

use kitex::Context;
use kitex::client::Transport;
use kitex_metrics::{Metrics, prometheus};

use crate::{Stage, req};

async fn callers(metrics: Metrics, count: usize) -> Metrics {
    let stage = Stage::new(metrics);
    let client = stage.client(Transport::TtHeader);
    for number in 0..count {
        let ctx = Context::background().with_transient("service.name", format!("caller-{number}"));
        let mut down = client.down(&ctx, req("")).await.unwrap();
        while down.recv().await.unwrap().is_some() {}
    }
    let Stage { server, at_server, .. } = stage;
    server.shutdown().await;
    at_server
}

#[tokio::test(start_paused = true)]
async fn max_names_and_max_series_bound_the_labels_that_callers_make() {
    // Settings; calls under names of their own and under `other`.
    let rows = [(100, 1000, 20, 0), (5, 1000, 5, 15), (100, 7, 7, 13)];
    for (max_names, max_series, named, others) in rows {
        let metrics = Metrics::builder().max_names(max_names).max_series(max_series).build().unwrap();
        let text = callers(metrics, 20).await.text();
        let calls = text.lines().filter(|line| line.starts_with("kitex_server_throughput{"));
        let (other, own): (Vec<&str>, Vec<&str>) = calls.partition(|line| line.contains("caller=\"other\""));
        assert_eq!(own.len(), named, "{max_names} names, {max_series} series");
        let counted = other.first().map_or("0", |line| line.rsplit(' ').next().unwrap());
        assert_eq!((other.len().min(1), counted), (others.min(1), &*others.to_string()), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn pool_gauges_are_read_at_each_scrape() {
    let stage = Stage::new(Metrics::new().unwrap());
    let client = stage.network.client("callee").build().unwrap();
    let (metrics, stats) = (stage.at_client.clone(), client.clone());
    metrics.pool("callee", move || stats.pool_stats());
    assert!(metrics.text().contains("kitex_client_pool_connections{callee=\"callee\"} 0"));
    let mut down = crate::MirrorClient::new(client).down(&Context::background(), req("wait")).await.unwrap();
    down.recv().await.unwrap();
    for line in [
        "kitex_client_pool_connections{callee=\"callee\"} 1",
        "kitex_client_pool_streams{callee=\"callee\"} 1",
        "kitex_client_dials_total{callee=\"callee\"} 1",
        "kitex_client_failed_dials_total{callee=\"callee\"} 0",
    ] {
        assert!(metrics.text().contains(line), "{line}\n{}", metrics.text());
    }
}

#[test]
fn build_refuses_a_registry_that_has_the_names_and_buckets_that_do_not_ascend() {
    let registry = prometheus::Registry::new();
    assert!(Metrics::builder().registry(registry.clone()).build().is_ok());
    assert!(Metrics::builder().registry(registry).build().is_err());
    assert!(Metrics::builder().latency_buckets([2.0, 1.0]).build().is_err());
}
