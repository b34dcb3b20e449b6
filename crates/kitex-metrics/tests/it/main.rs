//! What is counted of real calls, over each transport in memory.

mod endings;
mod limits;
mod names;
mod pools;

#[rustfmt::skip]
#[path = "../../../kitex/examples/generated/echo.rs"]
mod generated;

use std::time::Duration;

use generated::echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
use kitex::server::OnCancel;
use kitex::testing::{Network, TestServer};
use kitex::{BizStatusError, Context, Error, Result, Server, ServerStreamingServer};
use kitex_metrics::{Metrics, Work};

/// Ends as the request says.
struct Handler;

#[kitex::async_trait]
impl Mirror for Handler {
    async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
        end(&req).map(|()| Resp::default())
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let work = ctx.extension::<Work>().cloned().unwrap_or_default();
        work.plan(10);
        for seq in 0..3 {
            stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
            work.done(1);
        }
        match req.msg.as_deref() {
            // Until it is dropped.
            Some("hang") => std::future::pending().await,
            Some("wait") => {
                ctx.canceled().await;
                stream.send(&Resp::default()).await
            }
            _ => end(&req),
        }
    }
}

fn end(req: &Req) -> Result<()> {
    match req.msg.as_deref() {
        Some("biz") => Err(BizStatusError::new(7, "no").into()),
        Some("fail") => Err(Error::other("no")),
        _ => Ok(()),
    }
}

/// A server with metrics, and clients of it with others.
struct Stage {
    server: TestServer,
    network: Network,
    at_server: Metrics,
    at_client: Metrics,
}

impl Stage {
    fn new(at_server: Metrics) -> Self {
        let network = Network::new();
        let server = Server::builder("callee")
            .on_cancel(OnCancel::NotifyThenDrop(Duration::from_millis(50)))
            .service(MirrorServer::new(Handler))
            .observer(at_server.clone());
        let server = network.serve(server).unwrap();
        Self { server, network, at_server, at_client: Metrics::new().unwrap() }
    }

    fn client(&self, transport: kitex::client::Transport) -> MirrorClient {
        let client = self.network.client("callee").caller("caller").transport(transport);
        MirrorClient::new(client.observer(self.at_client.clone()).build().unwrap())
    }
}

fn req(text: &str) -> Req {
    Req { msg: Some(text.to_owned().into()), ..Req::default() }
}

/// Returns the lines of `metrics` that begin with one of `families`, without buckets and sums, and those at zero.
fn lines(metrics: &Metrics, families: &[&str]) -> Vec<String> {
    let text = metrics.text();
    let mut found: Vec<String> = text
        .lines()
        .filter(|line| families.iter().any(|family| line.starts_with(family)))
        .filter(|line| !line.contains("_bucket{") && !line.contains("_sum{") && !line.ends_with(" 0"))
        .map(|line| {
            line.replace("caller=\"caller\",callee=\"callee\",", "")
                .replace("callee=\"callee\",caller=\"caller\",", "")
        })
        .collect();
    found.sort();
    found
}
