//! A service test without a port: user -> gateway -> agent -> model in one process, on connections in memory and on
//! tokio's paused clock. A cancel passes through all three services, and a grace period of an hour takes no real time.
//! `cargo run -p kitex --example testing`

mod shared;

use std::time::{Duration, Instant};

use kitex::server::OnCancel;
use kitex::testing::Network;
use kitex::{Code, Context, Error, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp};
use tokio::sync::mpsc;

/// Receives the name of each service and the error of its stream.
type Seen = mpsc::Sender<(&'static str, Error)>;

/// A service that forwards the stream of the next service or, without one, sends a word every minute.
struct Hop {
    name: &'static str,
    next: Option<MirrorClient>,
    seen: Seen,
}

impl Hop {
    async fn serve(&self, ctx: &Context, req: Req, stream: &ServerStreamingServer<Resp>) -> Result<()> {
        let Some(next) = &self.next else {
            for seq in 0.. {
                stream.send(&resp("word", seq)).await?;
                ctx.until_canceled(tokio::time::sleep(Duration::from_secs(60))).await?;
            }
            return Ok(());
        };
        let mut words = next.down(ctx, req).await?;
        while let Some(word) = words.recv().await? {
            stream.send(&word).await?;
        }
        Ok(())
    }
}

#[kitex::async_trait]
impl Mirror for Hop {
    async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
        Ok(resp(&req.msg.unwrap_or_default(), 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let ended = self.serve(&ctx, req, &stream).await;
        if let Err(error) = &ended {
            let _ = self.seen.try_send((self.name, error.clone()));
        }
        // Saving the result takes an hour; on a paused clock the test does not wait for it.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        ended
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Ended {
    tokio::time::pause();
    let (real, began) = (Instant::now(), tokio::time::Instant::now());
    let (network, (seen, mut errors)) = (Network::new(), mpsc::channel(3));
    let mut servers = Vec::new();
    for (name, next) in [("model", None), ("agent", Some("model")), ("gateway", Some("agent"))] {
        let next = next.map(|next| network.client(next).build()).transpose()?.map(MirrorClient::new);
        let service = MirrorServer::new(Hop { name, next, seen: seen.clone() });
        let server = Server::builder(name).service(service).on_cancel(OnCancel::Notify);
        servers.push(network.serve(server.exit_wait(Duration::from_secs(7200)))?);
    }
    let user = MirrorClient::new(network.client("gateway").caller("user").build()?);

    let (ctx, canceler) = Context::background().with_cancel();
    let mut stream = user.down(&ctx, req("why is the sky blue?", 0)).await?;
    for seq in 0..5 {
        assert_eq!(stream.recv().await?.and_then(|word| word.seq), Some(seq));
    }
    canceler.cancel();
    let error = stream.recv().await.expect_err("the stream is canceled");
    assert!(error.is_canceled());

    let paths = [("model", "user -> gateway -> agent"), ("agent", "user -> gateway"), ("gateway", "user")];
    let mut hops = Vec::new();
    for _ in paths {
        hops.extend(errors.recv().await);
    }
    for (service, path) in paths {
        let (_, error) = hops.iter().find(|(name, _)| *name == service).expect("each service saw it");
        println!("{service:8} {}", brief(error));
        assert_eq!(error.code(), Some(Code::CANCELED));
        assert_eq!(error.path().map(ToString::to_string).as_deref(), Some(path));
    }
    for server in servers {
        server.shutdown().await;
    }
    let (virtual_time, real) = (began.elapsed(), real.elapsed());
    println!(
        "{} minutes of the paused clock, {} ms of real time",
        virtual_time.as_secs() / 60,
        real.as_millis()
    );
    assert!(virtual_time >= Duration::from_secs(3600 + 4 * 60));
    assert!(real < Duration::from_secs(60), "no grace period takes real time");
    Ok(())
}
