//! The caller cancels, and its partial result is saved: work that must be completed after a cancel runs under
//! `ctx.detach()`. `cargo run -p kitex --example detach`

mod shared;

use std::time::Duration;

use kitex::{Client, Context, Error, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, brief, req, resp, serve, soon};
use tokio::sync::mpsc;

/// Saves texts.
struct Archive(mpsc::Sender<String>);

#[kitex::async_trait]
impl Mirror for Archive {
    async fn ping(&self, ctx: Context, req: Req) -> Result<Resp> {
        // The metainfo is still that of the user's call.
        let user = ctx.persistent("user").cloned().unwrap_or_default();
        let text = format!("{} for {user:?}", req.msg.unwrap_or_default());
        self.0.send(text).await.map_err(Error::other)?;
        Ok(resp("kept", 0))
    }

    async fn down(&self, _: Context, _: Req, _: ServerStreamingServer<Resp>) -> Result<()> {
        Ok(())
    }
}

/// Sends words until its caller cancels, then saves them.
struct Model {
    archive: MirrorClient,
}

#[kitex::async_trait]
impl Mirror for Model {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(resp("pong", 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let (mut made, mut seq) = (String::new(), 0);
        let canceled = loop {
            made += &format!("word{seq} ");
            if let Err(error) = stream.send(&resp("word", seq)).await {
                break error;
            }
            seq += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        println!("model: {}", brief(&canceled));

        // The handler's own context has ended: nothing can be opened under it.
        let refused = self.archive.ping(&ctx, keep("never", &made)).await.expect_err("ctx has ended");
        println!("model, under ctx: {}", brief(&refused));

        if req.msg.as_deref() == Some("wait") {
            // The handler may wait for it within the grace period of `OnCancel` (1 s by default).
            self.archive.ping(&ctx.detach(), keep("waited", &made)).await?;
        } else {
            // Longer work runs in a task, and the handler returns or is dropped.
            let (archive, left) = (self.archive.clone(), ctx.detach());
            ctx.detach().spawn(async move {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                archive.ping(&left, keep("spawned", &made)).await
            });
        }
        Err(canceled)
    }
}

fn keep(how: &str, made: &str) -> Req {
    req(&format!("{how}: {} words", made.split_whitespace().count()), 0)
}

#[tokio::main]
async fn main() -> Ended {
    let (kept, mut reported) = mpsc::channel(2);
    let address = serve(Server::builder("archive").service(MirrorServer::new(Archive(kept)))).await?;
    let archive = MirrorClient::new(Client::builder("archive").address(address).build()?);
    let address = serve(Server::builder("model").service(MirrorServer::new(Model { archive }))).await?;
    let client = MirrorClient::new(Client::builder("model").caller("user").address(address).build()?);

    for how in ["wait", "spawn"] {
        let ctx = Context::background().with_persistent("user", "ada");
        let mut stream = client.down(&ctx, req(how, 0)).await?;
        for _ in 0..3 {
            stream.recv().await?;
        }
        // The user drops the stream, which cancels it.
        drop(stream);
        let text = soon(reported.recv()).await.expect("the archive reports");
        println!("archive: {text}\n");
        assert!(text.starts_with(how) && text.ends_with("words for b\"ada\""), "{text}");
    }
    assert!(reported.try_recv().is_err(), "nothing was saved under the context that had ended");
    Ok(())
}
