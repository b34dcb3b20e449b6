//! A handler controlled by the test: it passes its stream to the test, and returns the result that the test
//! sets.

use interop::lab::{Lab, LabPingError, LabServer, Req, Resp};
use kitex::server::ServerBuilder;
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, Result, Server, ServerStreamingServer,
};
use tokio::sync::{mpsc, oneshot};

use crate::local::ends;

/// A server whose streams the test handles.
pub(crate) struct Seat {
    pub(crate) address: String,
    seated: mpsc::Receiver<Seated>,
    leave: Option<oneshot::Sender<()>>,
}

/// The stream of one handler.
pub(crate) struct Seated {
    pub(crate) ctx: Context,
    pub(crate) stream: Stream,
    returns: oneshot::Sender<Result<Resp>>,
}

pub(crate) enum Stream {
    Down(ServerStreamingServer<Resp>),
    Up(ClientStreamingServer<Req>),
    Bidi(BidiStreamingServer<Req, Resp>),
}

struct Service(mpsc::Sender<Seated>);

impl Seat {
    pub(crate) async fn start(change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let (sender, seated) = mpsc::channel(1);
        let server = change(Server::builder("ServiceB")).service(LabServer::new(Service(sender)));
        let server = server.bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = server.local_addr().to_string();
        let (leave, left) = oneshot::channel::<()>();
        tokio::spawn(server.serve_until(async {
            let _ = left.await;
        }));
        Self { address, seated, leave: Some(leave) }
    }

    /// Returns the stream of the next handler.
    pub(crate) async fn next(&mut self) -> Seated {
        ends("a stream", self.seated.recv()).await.expect("the server runs")
    }

    /// Begins the graceful shutdown of the server.
    pub(crate) fn leave(&mut self) {
        self.leave.take();
    }
}

impl Seated {
    /// Sends a header with content: Kitex does not detect a second header if the first was empty.
    pub(crate) fn send_header(&self) -> Result<()> {
        match &self.stream {
            Stream::Down(stream) => stream.set_header("hk", "hv").and_then(|()| stream.send_header()),
            Stream::Up(stream) => stream.set_header("hk", "hv").and_then(|()| stream.send_header()),
            Stream::Bidi(stream) => stream.set_header("hk", "hv").and_then(|()| stream.send_header()),
        }
    }

    pub(crate) async fn send(&self) -> Result<()> {
        match &self.stream {
            Stream::Down(stream) => stream.send(&message()).await,
            Stream::Up(_) => Ok(()),
            Stream::Bidi(stream) => stream.send(&message()).await,
        }
    }

    /// Returns the next request; Down has only one.
    pub(crate) async fn recv(&mut self) -> Result<Option<Req>> {
        match &mut self.stream {
            Stream::Down(_) => Ok(None),
            Stream::Up(stream) => stream.recv().await,
            Stream::Bidi(stream) => stream.recv().await,
        }
    }

    /// Lets the handler return.
    pub(crate) fn returns(self, result: Result<()>) {
        // It was already dropped if its stream was canceled long ago.
        let _ = self.returns.send(result.map(|()| message()));
    }
}

impl Service {
    async fn seat(&self, ctx: Context, stream: Stream) -> Result<Resp> {
        let (returns, returned) = oneshot::channel();
        self.0.send(Seated { ctx, stream, returns }).await.map_err(|_| Error::other("the test is over"))?;
        returned.await.unwrap_or_else(|_| Err(Error::other("the test is over")))
    }
}

#[kitex::async_trait]
impl Lab for Service {
    async fn up(&self, ctx: Context, stream: ClientStreamingServer<Req>) -> Result<Resp> {
        self.seat(ctx, Stream::Up(stream)).await
    }

    async fn down(&self, ctx: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        self.seat(ctx, Stream::Down(stream)).await.map(drop)
    }

    async fn bidi(&self, ctx: Context, stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        self.seat(ctx, Stream::Bidi(stream)).await.map(drop)
    }

    async fn ping(&self, _: Context, _: Req) -> Result<Resp, LabPingError> {
        Err(Error::other("streams only").into())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Err(Error::other("streams only"))
    }
}

fn message() -> Resp {
    Resp { msg: Some("message".into()), seq: Some(0), payload: None }
}
