//! Three instances of a service: each gets its share of long streams; instances that are added, removed and killed; tags, and
//! one conversation that stays at one instance.
//! `cargo run -p kitex --example balance`

mod shared;

use std::collections::BTreeMap;

use kitex::client::{ConsistentHash, Instance, SharedInstances};
use kitex::{Client, Context, Error, Result, Server, ServerStreamingClient, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, req, resp, soon};

/// Sends its name, and keeps the stream open.
struct Model(&'static str);

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(resp(self.0, 0))
    }

    async fn down(&self, ctx: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        stream.send(&resp(self.0, 0)).await?;
        Err(ctx.canceled().await.into())
    }
}

/// Streams that stay open, and where they are.
#[derive(Default)]
struct Open(Vec<(String, ServerStreamingClient<Resp>)>);

impl Open {
    async fn add(&mut self, client: &MirrorClient, count: usize) -> Result<BTreeMap<String, usize>> {
        let mut added = BTreeMap::new();
        for _ in 0..count {
            let mut stream = client.down(&Context::background(), req("", 0)).await?;
            let name = soon(stream.recv()).await?.and_then(|first| first.msg).unwrap_or_default().to_string();
            *added.entry(name.clone()).or_default() += 1;
            self.0.push((name, stream));
        }
        Ok(added)
    }
}

/// Serves until it is aborted, and then all its connections end, as those of a process that is killed.
async fn serve(name: &'static str) -> std::result::Result<(String, tokio::runtime::Runtime), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(Error::other)?;
    let server = Server::builder("model").service(MirrorServer::new(Model(name)));
    let binding = runtime.spawn(async move { server.bind("127.0.0.1:0").await });
    let server = binding.await.map_err(Error::other)?.map_err(Error::other)?;
    let address = server.local_addr().to_string();
    runtime.spawn(server.serve());
    Ok((address, runtime))
}

#[tokio::main]
async fn main() -> Ended {
    let (a, b, c) = (serve("a").await?, serve("b").await?, serve("c").await?);
    let instance = |address: &str, zone: &str| Instance::new(address).with_tag("zone", zone);
    let (first, second, third) = (instance(&a.0, "x"), instance(&b.0, "y"), instance(&c.0, "x"));

    // What a registry would report is set by hand.
    let instances = SharedInstances::default();
    instances.set([first.clone(), second.clone()]);
    let client = Client::builder("model").caller("gateway").addresses(instances.clone()).build()?;
    let (client, mut open) = (MirrorClient::new(client), Open::default());
    let counts = open.add(&client, 60).await?;
    println!("60 streams over two instances: {counts:?}");
    assert!(counts.values().all(|count| (20..=40).contains(count)), "each has about half");

    instances.set([first.clone(), second.clone(), third.clone()]);
    let counts = open.add(&client, 30).await?;
    println!("30 more, with a third instance: {counts:?}");
    assert!(counts.get("c").is_some_and(|count| *count > 15), "it has the fewest streams");

    let in_y = client.with_options(|options| options.tag = Some(("zone".into(), "y".into())));
    let counts = open.add(&in_y, 5).await?;
    println!("5 for zone y: {counts:?}");
    assert_eq!(counts, BTreeMap::from([("b".to_owned(), 5)]));

    instances.set([second.clone(), third.clone()]);
    let counts = open.add(&client, 20).await?;
    println!("20 after the first was removed: {counts:?}");
    assert!(!counts.contains_key("a"));

    // Killed, and not yet removed by the registry.
    c.1.shutdown_background();
    let mut lost = 0;
    for (name, stream) in open.0.iter_mut().filter(|(name, _)| name == "c") {
        let error = soon(stream.recv()).await.expect_err("its process is gone");
        lost += usize::from(!error.is_canceled());
        assert_eq!(name, "c");
    }
    let counts = open.add(&client, 20).await?;
    println!("the third is killed: {lost} of its own streams end, and 20 new ones: {counts:?}");
    assert_eq!(counts, BTreeMap::from([("b".to_owned(), 20)]), "no call fails");

    let by_conversation = ConsistentHash::by_metainfo("conversation");
    let client = Client::builder("model").caller("gateway").addresses(instances.clone());
    let client = MirrorClient::new(client.balance(by_conversation).build()?);
    instances.set([first, second]);
    let mut places = BTreeMap::<String, usize>::new();
    for conversation in 0..20 {
        let ctx = Context::background().with_persistent("conversation", conversation.to_string());
        let mut at = Vec::new();
        for _ in 0..3 {
            at.push(client.ping(&ctx, req("", 0)).await?.msg.unwrap_or_default());
        }
        at.dedup();
        assert_eq!(at.len(), 1, "each call of a conversation goes to one instance");
        *places.entry(at.concat()).or_default() += 1;
    }
    println!("20 conversations by consistent hash: {places:?}");
    a.1.shutdown_background();
    b.1.shutdown_background();
    Ok(())
}
