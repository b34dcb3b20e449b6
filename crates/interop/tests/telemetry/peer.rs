//! The program on real Kitex, and the same service in this process.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use interop::lab::{Lab, LabClient, LabPingError, LabServer, Req, Resp};
use kitex::client::ClientBuilder;
use kitex::server::ServerBuilder;
use kitex::{
    BidiStreamingServer, BizStatusError, Client, ClientStreamingServer, Context, Error, Result, Server,
    ServerStreamingServer,
};

/// Names the program in `otel-peer`.
pub(crate) const PROGRAM: &str = "OTEL_PEER";

/// Returns the program, if this run has it. If not, prints that the test is skipped.
pub(crate) fn program() -> Option<String> {
    let program = env::var(PROGRAM).ok().filter(|path| !path.is_empty());
    if program.is_none() {
        // Past the capture of the test's output.
        let _ = writeln!(std::io::stderr(), "skipped: it needs Kitex with telemetry, and {PROGRAM} is unset");
    }
    program
}

/// A running server on real Kitex. Killed when dropped.
pub(crate) struct KitexServer {
    child: Child,
    pub(crate) address: String,
    /// Of monitor-prometheus.
    metrics: String,
}

impl KitexServer {
    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.arg("server").args(args).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("stdout is a pipe");
        BufReader::new(out).read_line(&mut line).expect("it prints a line");
        let [_, address, metrics] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("it does not listen: {line}");
        };
        Self { child, address: address.to_owned(), metrics: metrics.to_owned() }
    }

    /// Returns what monitor-prometheus has counted.
    pub(crate) fn scrape(&self) -> String {
        let mut socket = TcpStream::connect(&self.metrics).expect("it listens");
        let request = "GET /metrics HTTP/1.0\r\nHost: here\r\n\r\n";
        socket.write_all(request.as_bytes()).expect("it reads");
        let mut response = String::new();
        socket.read_to_string(&mut response).expect("it answers in text");
        response.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }
}

impl Drop for KitexServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the client on real Kitex, whose call ends as `message` says; returns how, and what monitor-prometheus has counted.
pub(crate) async fn kitex_client(program: &str, args: &[&str], message: &str) -> (String, String) {
    let mut command = Command::new(program);
    command.arg("client").args(args).args(["-msg", message]).stderr(Stdio::null());
    if message == "wait" {
        // Of three.
        command.args(["-cancel-after", "3"]);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it does not panic");
    let text = String::from_utf8(output.expect("the program starts").stdout).expect("it prints text");
    let (ended, metrics) = text.split_once('\n').unwrap_or_default();
    (ended.to_owned(), metrics.to_owned())
}

/// The same service as that of the program.
pub(crate) struct Hop(pub(crate) Option<LabClient>);

#[kitex::async_trait]
impl Lab for Hop {
    async fn ping(&self, _: Context, _: Req) -> std::result::Result<Resp, LabPingError> {
        Ok(Resp::default())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(Resp::default())
    }

    async fn up(&self, _: Context, _: ClientStreamingServer<Req>) -> Result<Resp> {
        Ok(Resp::default())
    }

    async fn bidi(&self, _: Context, _: BidiStreamingServer<Req, Resp>) -> Result<()> {
        Ok(())
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        if let Some(next) = &self.0 {
            let mut below = next.down(&ctx, req).await?;
            while let Some(message) = below.recv().await? {
                stream.send(&message).await?;
            }
            return Ok(());
        }
        for seq in 0..3 {
            stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
        }
        match req.msg.as_deref() {
            Some("wait") => Err(ctx.canceled().await.into()),
            Some("fail") => Err(Error::other("no")),
            Some("biz") => Err(BizStatusError::new(7, "no").into()),
            _ => Ok(()),
        }
    }
}

/// Serves it; returns the address.
pub(crate) async fn serve(name: &str, hop: Hop, with: impl FnOnce(ServerBuilder) -> ServerBuilder) -> String {
    let server = with(Server::builder(name).service(LabServer::new(hop)));
    let server = server.bind("127.0.0.1:0").await.expect("a free port of the loopback");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    address
}

pub(crate) fn client(
    to: &str,
    address: &str,
    with: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> LabClient {
    LabClient::new(with(Client::builder(to).address(address)).build().expect("the address is one"))
}
