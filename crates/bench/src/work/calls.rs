//! Streams from a typed client to a typed handler, over a connection in memory on one thread: the whole path of a call,
//! with metrics and without.

use std::fmt;

use interop::lab::{Lab, LabClient, LabPingError, LabServer, Req, Resp};
use kitex::client::{PoolKind, StaticAddresses, Transport};
use kitex::testing::{Network, TestServer};
use kitex::{
    BidiStreamingClient, BidiStreamingServer, ClientStreamingServer, Context, Result, Server,
    ServerStreamingClient, ServerStreamingServer,
};
use kitex_metrics::Metrics;
use tokio::runtime::{Builder, Runtime};

/// What is observed of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telemetry {
    /// Nothing.
    Off,
    /// Metrics at both ends.
    Metrics,
}

/// A client and a server, and a stream between them.
pub struct Calls {
    runtime: Runtime,
    client: LabClient,
    stream: BidiStreamingClient<Req, Resp>,
    /// Opened by the first message.
    down: Option<ServerStreamingClient<Resp>>,
    /// They keep connections from being idle, which has a price of its own.
    _others: Vec<BidiStreamingClient<Req, Resp>>,
    _servers: Vec<TestServer>,
    message: Req,
}

struct Echo;

#[kitex::async_trait]
impl Lab for Echo {
    async fn ping(&self, _: Context, _: Req) -> std::result::Result<Resp, LabPingError> {
        Ok(Resp::default())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(Resp::default())
    }

    async fn up(&self, _: Context, _: ClientStreamingServer<Req>) -> Result<Resp> {
        Ok(Resp::default())
    }

    /// Sends the payload until the client leaves, or ends at once if there is none.
    async fn down(&self, _: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        let message = Resp { payload: req.payload, ..Resp::default() };
        while message.payload.is_some() {
            stream.send(&message).await?;
        }
        Ok(())
    }

    async fn bidi(&self, _: Context, mut stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        while let Some(req) = stream.recv().await? {
            stream.send(&Resp { payload: req.payload, ..Resp::default() }).await?;
        }
        Ok(())
    }
}

impl Calls {
    /// Returns the two, with what is observed at both, over TTHeader Streaming.
    pub fn new(telemetry: Telemetry) -> Self {
        Self::over(Transport::TtHeader, telemetry)
    }

    /// Returns the two over gRPC.
    pub fn over_grpc() -> Self {
        Self::over(Transport::Grpc, Telemetry::Off)
    }

    fn over(transport: Transport, telemetry: Telemetry) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, servers, stream) = runtime.block_on(async {
            let network = Network::new();
            let server = Server::builder("callee").service(LabServer::new(Echo));
            let client = network.client("callee").caller("caller").transport(transport);
            let (server, client) = match telemetry {
                Telemetry::Off => (server, client),
                Telemetry::Metrics => {
                    let metrics = || Metrics::new().expect("a new registry");
                    (server.observer(metrics()), client.observer(metrics()))
                }
            };
            let server = network.serve(server).expect("the names are good");
            let client = LabClient::new(client.build().expect("the names are good"));
            let stream = client.bidi(&Context::background()).await.expect("it serves");
            (client, vec![server], stream)
        });
        Self {
            runtime,
            client,
            stream,
            down: None,
            _others: Vec::new(),
            _servers: servers,
            message: message(),
        }
    }

    /// Returns a client of several instances with one connection each, all of them open: with the default balancer, two
    /// of them are compared for each call.
    pub fn of_instances(count: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, servers, stream, others) = runtime.block_on(async {
            let network = Network::new();
            let names: Vec<String> = (0..count).map(|number| format!("callee{number}")).collect();
            let serve = |name: &String| {
                let server = Server::builder(name.as_str()).service(LabServer::new(Echo));
                network.serve(server).expect("the names are good")
            };
            let servers = names.iter().map(serve).collect();
            let client = network.client("callee").caller("caller").pool(PoolKind::Mux(1));
            let client = client.addresses(StaticAddresses::new(&names)).build().expect("the names are good");
            let client = LabClient::new(client);
            let (ctx, mut others) = (Context::background(), Vec::new());
            // Each new stream goes to an instance with less of them, so all have one soon.
            for _ in 0..16 * count {
                others.push(client.bidi(&ctx).await.expect("it serves"));
            }
            let stream = others.pop().expect("there are some");
            (client, servers, stream, others)
        });
        let mut calls = Self {
            runtime,
            client,
            stream,
            down: None,
            _others: others,
            _servers: servers,
            message: message(),
        };
        // Until what follows those openings is done.
        (0..100).for_each(|_| calls.open());
        calls
    }

    /// Opens a stream, which ends without a message.
    pub fn open(&mut self) {
        let Self { runtime, client, .. } = self;
        runtime.block_on(async {
            let mut stream = client.down(&Context::background(), Req::default()).await.expect("it serves");
            assert!(stream.recv().await.expect("it ends cleanly").is_none());
        });
    }

    /// Receives `count` messages of 1 KiB of a stream that its handler fills as fast as it is read.
    pub fn down(&mut self, count: u32) {
        let Self { runtime, client, down, .. } = self;
        runtime.block_on(async {
            if down.is_none() {
                let req = Req { payload: Some(vec![0; 1024].into()), ..Req::default() };
                *down = Some(client.down(&Context::background(), req).await.expect("it serves"));
            }
            let stream = down.as_mut().expect("it is open");
            for _ in 0..count {
                assert!(stream.recv().await.expect("it is open").is_some());
            }
        });
    }

    /// Sends a message and receives its echo: two messages.
    pub fn echo(&mut self) {
        let Self { runtime, stream, message, .. } = self;
        runtime.block_on(async {
            stream.send(message).await.expect("it is open");
            assert!(stream.recv().await.expect("it is open").is_some());
        });
    }
}

fn message() -> Req {
    Req { payload: Some(vec![0; 100].into()), ..Req::default() }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}
