//! A service of the chain: passes each kind of stream on to the next one, or is the last. Prints a line when it listens, when
//! a stream reaches it, and when its handler ends.

use std::time::Duration;

use clap::Args;
use interop::dial::Failure;
use interop::lab::{Lab, LabClient, LabPingError, LabServer, Req, Resp};
use interop::line::print;
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, Result, Server, ServerStreamingServer,
};
use serde_json::json;

use crate::link::{Link, end_line, resp};

/// The arguments of a service.
#[derive(Debug, Args)]
pub(crate) struct HopArgs {
    #[arg(long)]
    name: String,
    #[arg(long)]
    addr: String,
    /// Address of the next service; the last has none.
    #[arg(long, default_value = "")]
    next: String,
    /// It reads nothing from a stream of requests.
    #[arg(long)]
    slow: bool,
    #[command(flatten)]
    link: Link,
}

/// Serves until it is killed, or the run that has started it is gone.
pub(crate) async fn run(args: HopArgs) -> Result<(), Failure> {
    std::thread::spawn(|| {
        std::io::stdin().lines().for_each(drop);
        std::process::exit(0);
    });
    let HopArgs { name, addr, next, slow, link } = args;
    let next = (!next.is_empty()).then(|| link.client(&name, &next, false)).transpose()?;
    let service = LabServer::new(Hop { name: name.clone(), next, slow });
    let server = Server::builder(&name).service(service).connection(link.connection(slow));
    let server = server.bind(&addr).await?;
    print(&json!({"ev": "listening", "addr": server.local_addr().to_string()}));
    server.serve().await;
    Ok(())
}

struct Hop {
    name: String,
    next: Option<LabClient>,
    slow: bool,
}

#[kitex::async_trait]
impl Lab for Hop {
    async fn up(&self, ctx: Context, stream: ClientStreamingServer<Req>) -> Result<Resp> {
        self.opened();
        let ended = match &self.next {
            Some(next) => pass_up(&ctx, next, stream).await,
            None => self.count(&ctx, stream).await,
        };
        self.ended(ended)
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        self.opened();
        let ended = match &self.next {
            Some(next) => pass_down(&ctx, next, req, &stream).await,
            None => answer(&ctx, &req, &stream).await,
        };
        self.ended(ended)
    }

    async fn bidi(&self, ctx: Context, stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        self.opened();
        let ended = match &self.next {
            Some(next) => pass_both(&ctx, next, stream).await,
            None => echo(stream).await,
        };
        self.ended(ended)
    }

    async fn ping(&self, _: Context, _: Req) -> Result<Resp, LabPingError> {
        Err(Error::other("streams only").into())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Err(Error::other("streams only"))
    }
}

impl Hop {
    fn opened(&self) {
        print(&json!({"ev": "opened"}));
    }

    fn ended<T>(&self, ended: Result<T>) -> Result<T> {
        print(&end_line(&self.name, ended.as_ref().err()));
        ended
    }

    async fn count(&self, ctx: &Context, mut stream: ClientStreamingServer<Req>) -> Result<Resp> {
        if self.slow {
            return Err(ctx.canceled().await.into());
        }
        let mut count = 0;
        while stream.recv().await?.is_some() {
            count += 1;
        }
        Ok(resp(&format!("n={count}"), 0))
    }
}

async fn answer(ctx: &Context, req: &Req, stream: &ServerStreamingServer<Resp>) -> Result<()> {
    let word = req.msg.as_deref().unwrap_or_default();
    loop {
        let size = if word == "flood" { FLOOD } else { 0 };
        stream.send(&resp(word, size)).await?;
        match word {
            "idle" => return Err(ctx.canceled().await.into()),
            "flow" => tokio::time::sleep(PERIOD).await,
            _ => {}
        }
    }
}

async fn echo(mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
    while let Some(Req { msg, seq, payload }) = stream.recv().await? {
        stream.send(&Resp { msg, seq, payload }).await?;
    }
    Ok(())
}

/// While nothing comes from above, nothing asks the stream below how it is: its end is seen by the next Send.
async fn pass_up(ctx: &Context, next: &LabClient, mut stream: ClientStreamingServer<Req>) -> Result<Resp> {
    let mut passed = next.up(ctx).await?;
    while let Some(req) = stream.recv().await? {
        passed.send(&req).await?;
    }
    passed.close_and_recv().await
}

async fn pass_down(
    ctx: &Context,
    next: &LabClient,
    req: Req,
    stream: &ServerStreamingServer<Resp>,
) -> Result<()> {
    let mut passed = next.down(ctx, req).await?;
    while let Some(resp) = passed.recv().await? {
        stream.send(&resp).await?;
    }
    Ok(())
}

async fn pass_both(ctx: &Context, next: &LabClient, stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
    let (there, mut back) = next.bidi(ctx).await?.split();
    let (mut from, to) = stream.split();
    let requests = async {
        while let Some(req) = from.recv().await? {
            there.send(&req).await?;
        }
        there.close_send();
        Ok(())
    };
    let responses = async {
        while let Some(resp) = back.recv().await? {
            to.send(&resp).await?;
        }
        Ok(())
    };
    tokio::try_join!(requests, responses).map(drop)
}

const PERIOD: Duration = Duration::from_millis(10);
/// Bytes of a message of a flood.
pub(crate) const FLOOD: usize = 64 * 1024;
