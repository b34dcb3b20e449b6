//! Calls of a generated client to the servers that SRV records list.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use generated::echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
use kitex::client::RoundRobin;
use kitex::{Client, Context, Result, Server, ServerStreamingServer};

use crate::server::DnsServer;

#[rustfmt::skip]
#[path = "../../../kitex/examples/generated/echo.rs"]
mod generated;

/// Answers with its name.
struct Model(&'static str);

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(Resp { msg: Some(self.0.into()), ..Resp::default() })
    }

    async fn down(&self, _: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        stream.send(&Resp { msg: Some(self.0.into()), ..Resp::default() }).await
    }
}

async fn serve(name: &'static str) -> SocketAddr {
    let server = Server::builder("model").service(MirrorServer::new(Model(name))).bind("127.0.0.1:0").await;
    let server = server.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve());
    address
}

/// Makes `count` streams and ping-pong calls. Returns how many of each kind each server has answered.
async fn answers(client: &MirrorClient, count: usize) -> BTreeMap<(&'static str, String), usize> {
    let (ctx, mut counts) = (Context::background(), BTreeMap::new());
    for _ in 0..count {
        let call = client.ping(&ctx, Req::default()).await.unwrap();
        let mut down = client.down(&ctx, Req::default()).await.unwrap();
        let stream = down.recv().await.unwrap().unwrap();
        for (kind, resp) in [("call", call), ("stream", stream)] {
            *counts.entry((kind, resp.msg.unwrap().to_string())).or_default() += 1;
        }
    }
    counts
}

#[tokio::test]
async fn a_client_reaches_the_servers_of_srv_instances_by_weight() {
    let (light, heavy) = (serve("light").await, serve("heavy").await);
    let dns = DnsServer::start().await;
    dns.set_addresses("host.example.internal", 60, &["127.0.0.1"]);
    let (target, name) = ("host.example.internal", "_model._tcp.example.internal");
    dns.set_srv(name, 60, &[(0, 10, light.port(), target), (0, 100, heavy.port(), target)]);
    // Lookups and dials may take long on a busy machine.
    let client = Client::builder("model").caller("gateway").addresses(dns.instances(name));
    let client = client.balance(RoundRobin::default()).connect_timeout(Duration::from_secs(60));
    let client = MirrorClient::new(client.build().unwrap());
    // Another server may answer while one is dialed: weights show once both have all connections. Of eleven picks, which
    // are calls and streams in turn, one is the light server.
    let mut kinds = 0;
    for _ in 0..1200 {
        kinds = answers(&client, 22).await.len();
        if kinds == 4 {
            break;
        }
    }
    assert_eq!(kinds, 4);
    let counts = answers(&client, 500).await;
    let [heavy, light] = ["heavy", "light"].map(|name| {
        let of_server = counts.iter().filter(|((_, server), _)| server == name);
        of_server.map(|(_, count)| *count).sum::<usize>()
    });
    assert_eq!(heavy + light, 1000, "{counts:?}");
    assert!((50..=200).contains(&light), "{counts:?}");
}
