//! The gauges and counters of a client's instances, over sockets.

use std::time::Duration;

use kitex::client::{ClientBuilder, RoundRobin, StaticAddresses};
use kitex::server::ServerBuilder;
use kitex::{Client, Context, Error, Result, Server, ServerStreamingServer};
use kitex_metrics::Metrics;

use crate::{Handler, Mirror, MirrorClient, MirrorServer, Req, Resp, req};

/// Fails every call.
struct Failing;

#[kitex::async_trait]
impl Mirror for Failing {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Err(Error::other("no"))
    }

    async fn down(&self, _: Context, _: Req, _: ServerStreamingServer<Resp>) -> Result<()> {
        Err(Error::other("no"))
    }
}

async fn serve(server: ServerBuilder) -> String {
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    address
}

fn working() -> ServerBuilder {
    Server::builder("callee").service(MirrorServer::new(Handler))
}

/// A client that takes the addresses in turn, and its metrics.
fn client(addresses: &[&str]) -> (MirrorClient, Metrics) {
    let metrics = Metrics::new().unwrap();
    let builder: ClientBuilder = Client::builder("callee").balance(RoundRobin::default());
    let client = builder.addresses(StaticAddresses::new(addresses.iter().copied())).build().unwrap();
    let stats = client.clone();
    metrics.pool("callee", move || stats.pool_stats());
    (MirrorClient::new(client), metrics)
}

fn value(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{callee=\"callee\"}}")));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn pool_gauges_show_instances_that_are_unreachable_and_ejected() {
    let failing = serve(Server::builder("callee").service(MirrorServer::new(Failing))).await;
    let (one, two) = (serve(working()).await, serve(working()).await);
    // Nothing listens on the last.
    let (client, metrics) = client(&[&failing, &one, &two, "127.0.0.1:1"]);
    assert_eq!(value(&metrics, "kitex_client_ejections_total"), 0);
    // An ejection passes, the first after 1 s, and later ones after up to 30 s: until a scrape has seen one.
    let seen = async {
        while value(&metrics, "kitex_client_instances_ejected") == 0 {
            let _ = client.ping(&Context::background(), req("")).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), seen).await.expect("it fails every call");
    assert!(value(&metrics, "kitex_client_ejections_total") > 0);
    assert_eq!(value(&metrics, "kitex_client_instances"), 4);
    assert_eq!(value(&metrics, "kitex_client_instances_unreachable"), 1);
}

#[tokio::test]
async fn pool_counts_streams_that_are_tried_again() {
    let (full, free) = (serve(working().max_concurrent_streams(0)).await, serve(working()).await);
    let (client, metrics) = client(&[&full, &free]);
    let mut down = client.down(&Context::background(), req("")).await.unwrap();
    assert!(down.recv().await.unwrap().is_some());
    assert_eq!(value(&metrics, "kitex_client_retries_total"), 1);
}
