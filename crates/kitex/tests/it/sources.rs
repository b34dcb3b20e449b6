//! A source of addresses that changes: new streams and calls go to the addresses that it names.

use kitex::Context;
use kitex::client::{DnsInstances, PoolKind, SharedInstances, Transport};

use crate::fixture::{EchoClient, Handlers, Peer, builder, req, resp, soon, until};

fn set(instances: &SharedInstances, peers: &[&Peer]) {
    instances.set(peers.iter().map(|peer| &peer.address));
}

fn named(name: &'static str) -> Handlers {
    Handlers::default()
        .unary(move |_, _| async move { Ok(resp(name, 0)) })
        .down(move |_, _, stream| async move { stream.send(&resp(name, 0)).await })
        .bidi(move |_, mut stream| async move {
            while stream.recv().await?.is_some() {
                stream.send(&resp(name, 0)).await?;
            }
            Ok(())
        })
}

/// Returns the names of the servers that answer twenty streams and calls.
async fn answers(client: &EchoClient) -> Vec<String> {
    let (ctx, mut names) = (Context::background(), Vec::new());
    for _ in 0..10 {
        let mut down = client.down(&ctx, req("", 1)).await.unwrap();
        names.push(soon(down.recv()).await.unwrap().unwrap().msg.unwrap().to_string());
        names.push(soon(client.unary(&ctx, req("", 0))).await.unwrap().msg.unwrap().to_string());
    }
    names.sort();
    names.dedup();
    names
}

#[tokio::test]
async fn addresses_that_a_source_names_no_longer_get_nothing_new() {
    let pools = [PoolKind::Mux(2), PoolKind::long(), PoolKind::Short];
    for (pool, transport) in pools
        .into_iter()
        .flat_map(|pool| [Transport::TtHeader, Transport::Grpc].map(|transport| (pool, transport)))
    {
        let (one, two) = (Peer::start(named("one")).await, Peer::start(named("two")).await);
        let registry = SharedInstances::default();
        set(&registry, &[&one]);
        let client = builder("").addresses(registry.clone()).pool(pool).transport(transport);
        let client = EchoClient::new(client.build().unwrap());
        let open = client.bidi(&Context::background()).await.unwrap();
        let (sender, mut receiver) = open.split();
        assert_eq!(answers(&client).await, ["one"], "{pool:?} {transport:?}");

        set(&registry, &[&two]);
        assert_eq!(answers(&client).await, ["two"], "{pool:?} {transport:?}");
        set(&registry, &[]);
        assert_eq!(
            answers_if_open(&client, pool).await,
            "two",
            "{pool:?} {transport:?}: an outage of the source"
        );

        sender.send(&req("", 0)).await.unwrap();
        let answer = soon(receiver.recv()).await.unwrap().unwrap();
        assert_eq!(
            answer.msg.as_deref(),
            Some("one"),
            "{pool:?} {transport:?}: a stream that is open continues"
        );
        sender.close_send();
        assert_eq!(soon(receiver.recv()).await.unwrap(), None);

        set(&registry, &[&one]);
        assert_eq!(answers(&client).await, ["one"], "{pool:?} {transport:?}");
        if pool == PoolKind::Mux(2) {
            until(|| client.as_ref().pool_stats().connections <= 2).await;
        }
    }
}

/// A short pool keeps no connection that could be used without an address.
async fn answers_if_open(client: &EchoClient, pool: PoolKind) -> String {
    if pool == PoolKind::Short {
        return "two".to_owned();
    }
    let mut down = client.down(&Context::background(), req("", 1)).await.unwrap();
    soon(down.recv()).await.unwrap().unwrap().msg.unwrap().to_string()
}

#[tokio::test]
async fn dns_instances_are_the_addresses_of_a_name() {
    let server = Peer::start(named("a")).await;
    let port = server.address.rsplit(':').next().unwrap();
    for transport in [Transport::TtHeader, Transport::Grpc] {
        // The address of IPv6, on which nothing listens, is skipped.
        let instances = DnsInstances::new(format!("localhost:{port}")).unwrap();
        // A resolver may need long on a busy machine.
        let client = builder("").addresses(instances).connect_timeout(std::time::Duration::from_secs(60));
        let client = EchoClient::new(client.transport(transport).build().unwrap());
        assert_eq!(answers(&client).await, ["a"], "{transport:?}");
    }
}
