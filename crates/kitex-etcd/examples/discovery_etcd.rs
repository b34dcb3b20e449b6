//! Servers that register themselves in etcd, and a client that finds them there. Starts an etcd of its own; if there is none
//! it says so.
//! `cargo run -p kitex-etcd --example discovery_etcd`

#[rustfmt::skip]
#[path = "../../kitex/examples/generated/echo.rs"]
mod generated;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use generated::echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
use kitex::{Client, Context, Result, Server, ServerStreamingServer};
use kitex_etcd::{Etcd, Instance, Registration};
use server::{EtcdServer, is_missing};

/// Sends its name until its client cancels.
struct Model(&'static str);

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(Resp { msg: Some(self.0.into()), ..Resp::default() })
    }

    async fn down(&self, ctx: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        while ctx.reason().is_none() {
            stream.send(&Resp { msg: Some(self.0.into()), ..Resp::default() }).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(ctx.canceled().await.into())
    }
}

type Ended<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

async fn serve(etcd: &Etcd, name: &'static str, weight: u32) -> Ended<Registration> {
    let server = Server::builder("model").service(MirrorServer::new(Model(name))).bind("127.0.0.1:0").await?;
    // Registered once it is bound.
    let instance = Instance::new(server.local_addr().to_string()).with_weight(weight);
    tokio::spawn(server.serve());
    Ok(etcd.register("model", instance).await?)
}

/// Makes calls until both servers have answered, or only the one that is `left`.
async fn servers(client: &MirrorClient, expected: &[&str]) -> Ended<BTreeMap<String, usize>> {
    for _ in 0..600 {
        let mut counts = BTreeMap::<String, usize>::new();
        for _ in 0..30 {
            let resp = client.ping(&Context::background(), Req::default()).await?;
            *counts.entry(resp.msg.unwrap_or_default().to_string()).or_default() += 1;
        }
        if counts.keys().eq(expected) {
            return Ok(counts);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("not the servers {expected:?}").into())
}

#[tokio::main]
async fn main() -> Ended {
    if is_missing() {
        return Ok(());
    }
    let mut cluster = EtcdServer::start("example").await;
    let etcd = Etcd::new([cluster.endpoint()]).refresh(Duration::from_millis(100));
    let first = serve(&etcd, "a", 10).await?;
    let client = Client::builder("model").caller("gateway").addresses(etcd.discover("model")?);
    let client = MirrorClient::new(client.balance(kitex::client::RoundRobin::default()).build()?);
    println!("one server: {:?}", servers(&client, &["a"]).await?);

    let second = serve(&etcd, "b", 20).await?;
    let counts = servers(&client, &["a", "b"]).await?;
    println!("another with twice the weight: {counts:?}");

    // etcd is killed while a stream runs, and started again.
    let mut stream = client.down(&Context::background(), Req::default()).await?;
    stream.recv().await?;
    cluster.kill();
    for _ in 0..20 {
        assert!(stream.recv().await?.is_some(), "the stream goes on");
    }
    println!("etcd is down: the stream goes on, and calls too: {:?}", servers(&client, &["a", "b"]).await?);
    cluster.restart().await;

    first.deregister().await?;
    println!("the first is deregistered: {:?}", servers(&client, &["b"]).await?);
    assert!(stream.recv().await?.is_some(), "its streams go on");
    second.deregister().await?;
    Ok(())
}
