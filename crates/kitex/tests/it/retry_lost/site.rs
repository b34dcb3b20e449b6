//! Sites of the tests: servers behind proxies whose handlers hang or answer, a client that knows one at a time, and the four
//! ways to use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kitex::client::{ClientBuilder, PoolStats, Retry, SharedInstances};
use kitex::{
    BidiStreamingClient, BizStatusError, ClientStreamingClient, Context, Error, Result, ServerStreamingClient,
};
use tokio::task::JoinHandle;

use crate::fixture::{
    EchoClient, Handlers, Peer, Proxy, Reporter, Reports, Req, Resp, builder, ended, reports, req, resp, soon,
};

pub(super) const LOST: &str = "12006 client";
pub(super) const PERSISTENT: &str = "RetryReq";

pub(super) fn idempotent() -> Retry {
    Retry::default().idempotent(true)
}

/// Who has answered, as which attempt.
fn said(ctx: &Context, name: &str) -> String {
    let retried = ctx.persistent(PERSISTENT).or_else(|| ctx.persistent("RETRYREQ")).cloned();
    format!("{name} {}", String::from_utf8_lossy(&retried.unwrap_or_default())).trim().to_owned()
}

pub(super) fn text(resp: Option<Resp>) -> String {
    let resp = resp.unwrap_or_default();
    format!("{} {}", resp.msg.unwrap_or_default(), resp.seq.unwrap_or_default())
}

/// A server whose handlers answer, or first report that they run and then do as the request says.
pub(super) struct Site {
    pub(super) peer: Peer,
    pub(super) proxy: Proxy,
    runs: Arc<AtomicUsize>,
    pub(super) begun: Reports<()>,
}

/// What the handler of a request with this text does.
pub(super) const ANSWERS: &str = "answers";
pub(super) const HANGS: &str = "hangs";
pub(super) const SENDS_HEADER: &str = "sends a header, and hangs";
pub(super) const SENDS_MESSAGE: &str = "sends a message, and hangs";
pub(super) const FAILS: &str = "fails";
pub(super) const FAILS_BIZ: &str = "fails with a business error";

async fn run(what: &str, ctx: &Context, begun: &Reporter<()>) -> Result<()> {
    match what {
        ANSWERS => return Ok(()),
        FAILS => return Err(Error::other("failed")),
        FAILS_BIZ => return Err(BizStatusError::new(404, "no").into()),
        _ => {}
    }
    begun.send(());
    Err(ctx.canceled().await.into())
}

fn what(req: &Req) -> String {
    req.msg.clone().unwrap_or_default().to_string()
}

/// `answers`: whatever the request says.
pub(super) fn handlers(
    name: &'static str,
    answers: bool,
    runs: &Arc<AtomicUsize>,
    begun: Reporter<()>,
) -> Handlers {
    let count = |runs: &Arc<AtomicUsize>, what: &str| {
        if what != ANSWERS {
            runs.fetch_add(1, SeqCst);
        }
    };
    let said_by = move |req: &Req| if answers { ANSWERS.to_owned() } else { what(req) };
    let (of_down, of_up, of_bidi, of_unary) = (runs.clone(), runs.clone(), runs.clone(), runs.clone());
    let (down, up, bidi, unary) = (begun.clone(), begun.clone(), begun.clone(), begun);
    Handlers::default()
        .down(move |ctx, req, stream| {
            count(&of_down, &what(&req));
            let (begun, does) = (down.clone(), said_by(&req));
            async move {
                match &*does {
                    SENDS_HEADER => stream.send_header()?,
                    SENDS_MESSAGE => stream.send(&resp(name, 0)).await?,
                    _ => {}
                }
                run(&does, &ctx, &begun).await?;
                stream.send(&resp(&said(&ctx, name), 7)).await
            }
        })
        .up(move |ctx, mut stream| {
            let (runs, begun) = (of_up.clone(), up.clone());
            async move {
                let (mut sum, mut first) = (0, true);
                while let Some(req) = stream.recv().await? {
                    sum = sum * 10 + req.seq.unwrap_or_default();
                    if std::mem::take(&mut first) {
                        count(&runs, &what(&req));
                        run(&said_by(&req), &ctx, &begun).await?;
                    }
                }
                Ok(resp(&said(&ctx, name), sum))
            }
        })
        .bidi(move |ctx, mut stream| {
            let (runs, begun) = (of_bidi.clone(), bidi.clone());
            async move {
                let mut first = true;
                while let Some(req) = stream.recv().await? {
                    if std::mem::take(&mut first) {
                        count(&runs, &what(&req));
                        run(&said_by(&req), &ctx, &begun).await?;
                    }
                    stream.send(&resp(&said(&ctx, name), req.seq.unwrap_or_default())).await?;
                }
                Ok(())
            }
        })
        .unary(move |ctx, req| {
            count(&of_unary, &what(&req));
            let (begun, does) = (unary.clone(), said_by(&req));
            async move {
                run(&does, &ctx, &begun).await?;
                Ok(resp(&said(&ctx, name), req.seq.unwrap_or_default()))
            }
        })
}

impl Site {
    pub(super) async fn new(name: &'static str, answers: bool) -> Self {
        let (runs, (reporter, begun)) = (Arc::default(), reports());
        let peer = Peer::start(handlers(name, answers, &runs, reporter)).await;
        let proxy = Proxy::to(&peer.address).await;
        Self { peer, proxy, runs, begun }
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.load(SeqCst)
    }
}

/// A client that knows one site at a time, so that it is certain where a stream or call goes.
pub(super) struct Moving {
    pub(super) client: EchoClient,
    pub(super) instances: SharedInstances,
}

impl Moving {
    pub(super) fn at(first: &Site, retry: Retry) -> Self {
        Self::with(first, |client| client.retry(retry))
    }

    pub(super) fn with(first: &Site, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let instances = SharedInstances::default();
        instances.set([&*first.proxy.address]);
        let client = change(builder("").addresses(instances.clone())).build().unwrap();
        Self { client: EchoClient::new(client), instances }
    }

    /// Answers a stream at the site, on the connection that the others use: the server has read what was opened before.
    pub(super) async fn is_read_by(&self, site: &Site) {
        let address = Some(site.proxy.address.as_str().into());
        let here = self.client.with_options(|options| options.address = address);
        let mut later = soon(here.down(&Context::background(), req(ANSWERS, 0))).await.unwrap();
        while soon(later.recv()).await.unwrap().is_some() {}
    }

    /// Loses the connections to the site, whose server has read all; retries go to `next`.
    pub(super) async fn lose(&self, site: &Site, next: &Site) {
        self.is_read_by(site).await;
        self.instances.set([&*next.proxy.address]);
        site.proxy.cut();
    }

    pub(super) fn stats(&self) -> PoolStats {
        self.client.as_ref().pool_stats()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Down,
    Up,
    Bidi,
    Unary,
}

pub(super) const USES: [Use; 4] = [Use::Down, Use::Up, Use::Bidi, Use::Unary];

/// A stream or call of which nothing was received.
pub(super) enum Opened {
    Down(ServerStreamingClient<Resp>),
    Up(ClientStreamingClient<Req, Resp>),
    Bidi(BidiStreamingClient<Req, Resp>),
    Unary(JoinHandle<Result<Resp>>),
}

impl Opened {
    pub(super) async fn begin(client: &EchoClient, ctx: &Context, call: Use, what: &str) -> Result<Self> {
        Ok(match call {
            Use::Down => Self::Down(client.down(ctx, req(what, 7)).await?),
            Use::Up => {
                let up = client.up(ctx).await?;
                up.send(&req(what, 1)).await?;
                Self::Up(up)
            }
            Use::Bidi => {
                let bidi = client.bidi(ctx).await?;
                bidi.send(&req(what, 7)).await?;
                Self::Bidi(bidi)
            }
            Use::Unary => {
                let (client, ctx, what) = (client.clone(), ctx.clone(), what.to_owned());
                Self::Unary(tokio::spawn(async move { client.unary(&ctx, req(&what, 7)).await }))
            }
        })
    }

    /// Returns the response.
    pub(super) async fn finish(self) -> Result<String> {
        match self {
            Self::Down(mut down) => {
                let answer = text(soon(down.recv()).await?);
                soon(down.recv()).await.map(|_| answer)
            }
            Self::Up(mut up) => {
                for seq in 2..=3 {
                    up.send(&req("", seq)).await?;
                }
                soon(up.close_and_recv()).await.map(|answer| text(Some(answer)))
            }
            Self::Bidi(mut bidi) => {
                let answer = text(soon(bidi.recv()).await?);
                bidi.close_send();
                soon(bidi.recv()).await.map(|_| answer)
            }
            Self::Unary(call) => soon(call).await.unwrap().map(|answer| text(Some(answer))),
        }
    }
}

/// The answer, or how it failed: a call that was lost is `12006 client` for calls too.
pub(super) fn outcome(result: Result<String>) -> String {
    match result {
        Ok(answer) => answer,
        Err(Error::Network(_)) => LOST.to_owned(),
        Err(error) => ended(&Err::<(), _>(error)),
    }
}

pub(super) fn answered(by: &str, call: Use) -> String {
    format!("{by} {}", if call == Use::Up { 123 } else { 7 })
}
