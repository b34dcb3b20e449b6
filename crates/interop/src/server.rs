//! The server: the test service, which forwards Down to the next server if there is one.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kitex::server::{ServerBuilder, SocketConfig};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Result, Server, ServerStreamingServer, ThreadPerCore,
};
use serde_json::json;

use crate::dial::{Failure, Transport};
use crate::lab::{Lab, LabClient, LabPingError, LabServer, Req, Resp};
use crate::line::{now, print, print_server};
use crate::words::Words;

/// The arguments of `lab-peer server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:9001")]
    addr: String,
    /// The server's own service name.
    #[arg(long, default_value = "ServiceB")]
    name: String,
    /// Address of the server that Down is forwarded to.
    #[arg(long, default_value = "")]
    next: String,
    /// That server's service name.
    #[arg(long, default_value = "ServiceC")]
    nextname: String,
    /// Number of threads with a runtime each, to serve on instead of one runtime of all cores; 0: one per
    /// core.
    #[arg(long)]
    cores: Option<usize>,
    /// Shut down gracefully at SIGTERM, with this time in milliseconds before clients are notified, and a minute for streams
    /// that run.
    #[arg(long)]
    drain: Option<u64>,
    #[command(flatten)]
    transport: Transport,
}

/// Serves until it is killed, or shut down.
///
/// # Errors
/// The address cannot be bound, or that of the next server is invalid.
pub async fn run(args: ServerArgs) -> Result<(), Failure> {
    let ServerArgs { addr, name, next, nextname, cores, drain, transport } = args;
    let next = (!next.is_empty()).then(|| transport.client(&next, &nextname, &name)).transpose()?;
    let builder = builder(&name, next, Lines::Printed, &transport);
    let builder = match cores {
        Some(count) => builder.cores(ThreadPerCore::start(count)?),
        None => builder,
    };
    let server = match drain {
        Some(delay) => builder.drain_delay(Duration::from_millis(delay)).exit_wait(EXIT_WAIT),
        None => builder,
    };
    let server = server.bind(&addr).await?;
    print(&json!({"ev": "listening"}));
    match drain {
        Some(_) => server.run().await?,
        None => server.serve().await,
    }
    Ok(())
}

/// The time of running streams at a shutdown.
const EXIT_WAIT: Duration = Duration::from_secs(60);

/// Returns a server of the service `name` that forwards Down to `next`, if there is one.
///
/// # Errors
/// The address cannot be listened on.
pub async fn bind(
    addr: &str,
    name: &str,
    next: Option<LabClient>,
    lines: Lines,
    transport: &Transport,
) -> Result<Server, Failure> {
    Ok(builder(name, next, lines, transport).bind(addr).await?)
}

/// Returns a builder of a server as [`bind`] starts it, over `transport`.
pub fn builder(name: &str, next: Option<LabClient>, lines: Lines, transport: &Transport) -> ServerBuilder {
    // The checks hold more streams on one connection than a server in the open should.
    let socket = SocketConfig::default().busy_poll(transport.busy_poll());
    let server = defaults(name, next, lines).max_concurrent_streams(100_000);
    server.socket(socket).grpc(transport.grpc())
}

/// Returns a builder of the same server with the default limits of the library.
pub fn defaults(name: &str, next: Option<LabClient>, lines: Lines) -> ServerBuilder {
    Server::builder(name).service(LabServer::new(Peer { name: Arc::from(name), next, lines }))
}

/// Whether handlers print their ends.
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

/// The part of a handler that ended, as a line names it; `None` if no line is printed.
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
        let (mut down, req) = Down::begin(self, ctx, req, stream)?;
        let (part, result) = match &self.next {
            Some(next) => Box::pin(down.pass_on(next, req)).await,
            None => {
                drop(req);
                down.answer().await
            }
        };
        if let Some(part) = part {
            self.print(part, &result, down.sent);
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
}

/// One call of Down. One value, so that the futures below it need one pointer each.
struct Down<'a> {
    peer: &'a Peer,
    ctx: Context,
    stream: ServerStreamingServer<Resp>,
    words: Words,
    seq: i64,
    sent: u64,
}

impl<'a> Down<'a> {
    /// Returns the request: by value, so that the handler's future does not hold it twice.
    fn begin(
        peer: &'a Peer,
        ctx: Context,
        req: Req,
        stream: ServerStreamingServer<Resp>,
    ) -> Result<(Self, Req)> {
        let words = Words::parse(req.msg.as_deref().unwrap_or_default());
        if words.hdr {
            stream.set_header("hk", "hv")?;
            stream.set_trailer("tk", "tv");
        }
        for (key, value) in words.headers.each("h") {
            stream.set_header(key, value)?;
        }
        for (key, value) in words.trailers.each("t") {
            stream.set_trailer(key, value);
        }
        Ok((Self { peer, ctx, stream, words, seq: req.seq.unwrap_or_default(), sent: 0 }, req))
    }

    async fn answer(&mut self) -> Ended {
        // Boxed, so that the future of a handler that only waits for its cancel does not hold it.
        if let Err(error) = Box::pin(self.send_all()).await {
            return (Some("Down.send"), Err(error));
        }
        if self.words.idle {
            let reason = self.ctx.canceled().await;
            self.peer.print_done(self.seq);
            return (Some("Down.idle"), Err(reason.into()));
        }
        if let Some(error) = self.words.error() {
            return (None, Err(error));
        }
        assert!(!self.words.panic, "lab panic");
        (Some("Down"), Ok(()))
    }

    async fn send_all(&mut self) -> Result<()> {
        let mut answer = self.resp();
        let mut seq = 0;
        while self.words.n < 0 || seq < self.words.n {
            answer.seq = Some(seq);
            seq += 1;
            self.stream.send(&answer).await?;
            self.sent += 1;
            if let Some(delay) = self.words.delay {
                // Boxed: a timer is large, and few handlers have one.
                Box::pin(tokio::time::sleep(delay)).await;
            }
        }
        Ok(())
    }

    fn resp(&self) -> Resp {
        let text = |value: Option<&kitex::bytes::Bytes>| {
            value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        // gRPC converts keys to upper case.
        let pk = self.ctx.persistent("pk").or_else(|| self.ctx.persistent("PK"));
        let tk = self.ctx.transient("tk").or_else(|| self.ctx.transient("TK"));
        let msg = format!("pk={};tk={}", text(pk), text(tk));
        let payload = kitex::bytes::Bytes::from(vec![0; self.words.size]);
        Resp { msg: Some(msg.into()), seq: Some(0), payload: Some(payload) }
    }

    async fn pass_on(&mut self, next: &LabClient, req: Req) -> Ended {
        let mut answers = match next.down(&self.ctx, req).await {
            Ok(answers) => answers,
            Err(error) => return (Some("Down.open"), Err(error)),
        };
        loop {
            match answers.recv().await {
                Ok(Some(answer)) => match self.stream.send(&answer).await {
                    Ok(()) => self.sent += 1,
                    Err(error) => return (Some("Down.send"), Err(error)),
                },
                Ok(None) => return (Some("Down"), Ok(())),
                Err(error) => return (Some("Down.recv"), Err(error)),
            }
        }
    }
}

fn echo(req: Req) -> Resp {
    Resp { msg: req.msg, seq: req.seq, payload: req.payload }
}
