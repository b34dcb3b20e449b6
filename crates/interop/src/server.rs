//! The server: the test service, which passes Down on to the next server if there is one.

use std::sync::Arc;

use clap::Args;
use kitex::server::{BoundServer, ConnectionConfig, ServerBuilder};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Cores, Result, Server, ServerStreamingServer,
};
use serde_json::json;

use crate::dial::{Failure, Transport};
use crate::lab::{Lab, LabClient, LabPingError, LabServer, Req, Resp};
use crate::line::{now, print, print_server};
use crate::words::Words;

/// The words of `lab-peer server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:9001")]
    addr: String,
    /// The server's own service name.
    #[arg(long, default_value = "ServiceB")]
    name: String,
    /// Address of the server that Down is passed on to.
    #[arg(long, default_value = "")]
    next: String,
    /// That server's service name.
    #[arg(long, default_value = "ServiceC")]
    nextname: String,
    /// Threads with a runtime each, to serve on instead of one runtime of all cores; 0: as many as cores.
    #[arg(long)]
    cores: Option<usize>,
    #[command(flatten)]
    transport: Transport,
}

/// Serves until it is killed.
///
/// # Errors
/// The address cannot be listened on, or the next one makes no sense.
pub async fn run(args: ServerArgs) -> Result<(), Failure> {
    let ServerArgs { addr, name, next, nextname, cores, transport } = args;
    let next = (!next.is_empty()).then(|| transport.client(&next, &nextname, &name)).transpose()?;
    let builder = builder(&name, next, Lines::Printed);
    let builder = match cores {
        Some(count) => builder.cores(Cores::start(count)?),
        None => builder,
    };
    let server = builder.bind(&addr).await?;
    print(&json!({"ev": "listening"}));
    server.serve().await;
    Ok(())
}

/// A server of the service `name` that passes Down on to `next`, if there is one.
///
/// # Errors
/// The address cannot be listened on.
pub async fn bind(
    addr: &str,
    name: &str,
    next: Option<LabClient>,
    lines: Lines,
) -> Result<BoundServer, Failure> {
    Ok(builder(name, next, lines).bind(addr).await?)
}

fn builder(name: &str, next: Option<LabClient>, lines: Lines) -> ServerBuilder {
    let service = LabServer::new(Peer { name: Arc::from(name), next, lines });
    // The checks hold more streams on one connection than a server in the open should.
    let connection = ConnectionConfig { max_streams: 100_000, ..ConnectionConfig::default() };
    Server::builder(name).service(service).connection(connection)
}

/// Whether handlers print how they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// They do.
    Printed,
    /// They do not.
    Silent,
}

#[derive(Debug)]
struct Peer {
    name: Arc<str>,
    next: Option<LabClient>,
    lines: Lines,
}

/// The part of a handler that ended, as a line names it; nothing if the line is left out.
type Ended = (Option<&'static str>, Result<()>);

#[kitex::async_trait]
impl Lab for Peer {
    async fn ping(&self, _ctx: Context, req: Req) -> Result<Resp, LabPingError> {
        Ok(echo(req))
    }

    async fn unary(&self, _ctx: Context, req: Req) -> Result<Resp> {
        match Words::parse(req.msg.as_deref().unwrap_or_default()).error() {
            Some(error) => Err(error),
            None => Ok(echo(req)),
        }
    }

    async fn up(&self, _ctx: Context, mut stream: ClientStreamingServer<Req>) -> Result<Resp> {
        let (mut count, mut last) = (0, None);
        let ended = loop {
            match stream.recv().await {
                Ok(Some(req)) => (count, last) = (count + 1, req.seq),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.print("Up", &ended, count);
        let msg = Some(format!("n={count}").into());
        ended.map(|()| Resp { msg, seq: last, payload: Some(kitex::bytes::Bytes::new()) })
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let (words, seq) = (Words::parse(req.msg.as_deref().unwrap_or_default()), req.seq);
        if words.hdr {
            stream.set_header("hk", "hv")?;
            stream.set_trailer("tk", "tv");
        }
        let mut sent = 0;
        let (part, result) = match &self.next {
            Some(next) => Box::pin(pass_on(next, &ctx, req, &stream, &mut sent)).await,
            None => {
                drop(req);
                self.answer(&ctx, seq, &words, &stream, &mut sent).await
            }
        };
        if let Some(part) = part {
            self.print(part, &result, sent);
        }
        result
    }

    async fn bidi(&self, _ctx: Context, mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        let mut echoed = 0;
        let (part, result) = loop {
            match stream.recv().await {
                Ok(Some(req)) => match stream.send(&echo(req)).await {
                    Ok(()) => echoed += 1,
                    Err(error) => break ("Bidi.send", Err(error)),
                },
                Ok(None) => break ("Bidi", Ok(())),
                Err(error) => break ("Bidi.recv", Err(error)),
            }
        };
        self.print(part, &result, echoed);
        result
    }
}

impl Peer {
    fn print<T>(&self, part: &str, ended: &Result<T>, messages: u64) {
        if self.lines == Lines::Printed {
            print_server(&self.name, part, ended.as_ref().err(), messages);
        }
    }

    fn print_done(&self, seq: i64) {
        if self.lines == Lines::Printed {
            print(&json!({"ev": "done", "svc": &*self.name, "seq": seq, "ts": now()}));
        }
    }

    async fn answer(
        &self,
        ctx: &Context,
        seq: Option<i64>,
        words: &Words,
        stream: &ServerStreamingServer<Resp>,
        sent: &mut u64,
    ) -> Ended {
        if let Err(error) = send_all(ctx, words, stream, sent).await {
            return (Some("Down.send"), Err(error));
        }
        if words.idle {
            let reason = ctx.canceled().await;
            self.print_done(seq.unwrap_or_default());
            return (Some("Down.idle"), Err(reason.into()));
        }
        if let Some(error) = words.error() {
            return (None, Err(error));
        }
        assert!(!words.panic, "lab panic");
        (Some("Down"), Ok(()))
    }
}

async fn send_all(
    ctx: &Context,
    words: &Words,
    stream: &ServerStreamingServer<Resp>,
    sent: &mut u64,
) -> Result<()> {
    let text = |value: Option<&kitex::bytes::Bytes>| {
        value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let msg = format!("pk={};tk={}", text(ctx.persistent("pk")), text(ctx.transient("tk")));
    let payload = kitex::bytes::Bytes::from(vec![0; words.size]);
    let mut answer = Resp { msg: Some(msg.into()), seq: Some(0), payload: Some(payload) };
    for seq in (0..).take_while(|seq| words.n < 0 || *seq < words.n) {
        answer.seq = Some(seq);
        stream.send(&answer).await?;
        *sent += 1;
        if let Some(delay) = words.delay {
            // Boxed: a timer is large, and few handlers have one.
            Box::pin(tokio::time::sleep(delay)).await;
        }
    }
    Ok(())
}

async fn pass_on(
    next: &LabClient,
    ctx: &Context,
    req: Req,
    stream: &ServerStreamingServer<Resp>,
    sent: &mut u64,
) -> Ended {
    let mut answers = match next.down(ctx, req).await {
        Ok(answers) => answers,
        Err(error) => return (Some("Down.open"), Err(error)),
    };
    loop {
        match answers.recv().await {
            Ok(Some(answer)) => match stream.send(&answer).await {
                Ok(()) => *sent += 1,
                Err(error) => return (Some("Down.send"), Err(error)),
            },
            Ok(None) => return (Some("Down"), Ok(())),
            Err(error) => return (Some("Down.recv"), Err(error)),
        }
    }
}

fn echo(req: Req) -> Resp {
    Resp { msg: req.msg, seq: req.seq, payload: req.payload }
}
