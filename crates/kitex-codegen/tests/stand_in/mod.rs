//! A stand-in for the `kitex` facade: what generated code names, with a client that calls a service of the
//! same process. Owns just enough to run generated code; payloads really become bytes and back.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use kitex_thrift::{DecodeError, EncodeError, Fault, Payload};

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub struct Error(pub String);

impl Error {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self(error.to_string())
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        match error.fault() {
            Fault::MissingResult => Self::new("missing result"),
            _ => Self(error.to_string()),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Context;

pub struct RecvTimeout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamingMode {
    PingPong,
    Unary,
    Client,
    Server,
    Bidirectional,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    pub package: &'static str,
    pub service: &'static str,
    pub name: &'static str,
    pub mode: StreamingMode,
    pub oneway: bool,
}

impl Method {
    pub const fn new(service: &'static str, name: &'static str, mode: StreamingMode) -> Self {
        Self { package: "", service, name, mode, oneway: false }
    }

    pub const fn oneway(service: &'static str, name: &'static str) -> Self {
        Self { package: "", service, name, mode: StreamingMode::PingPong, oneway: true }
    }

    #[must_use]
    pub const fn with_package(mut self, package: &'static str) -> Self {
        self.package = package;
        self
    }
}

#[async_trait]
pub trait Service: Send + Sync + 'static {
    fn methods(&self) -> &[Method];
    async fn call(&self, call: Call) -> Result<Response>;
}

/// Messages on their way.
type Pipe = Arc<Mutex<VecDeque<Bytes>>>;

pub struct Call {
    index: usize,
    incoming: Pipe,
    outgoing: Pipe,
}

/// The encoding that generated code names.
pub struct Thrift;

#[derive(Default)]
pub struct CallOptions;

impl Call {
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn into_args<A: Payload, C>(self) -> Result<(Context, A)> {
        Ok((Context, A::decode(pop(&self.incoming).unwrap_or_default())?))
    }

    pub fn serve_client_streaming<'a, Req: Payload, Resp: Payload, F>(
        self,
        handler: impl FnOnce(Context, ClientStreamingServer<Req>) -> F,
    ) -> ResponseFuture<'a>
    where
        F: Future<Output = Result<Resp>> + Send + 'a,
    {
        let handling = handler(Context, ClientStreamingServer { incoming: self.incoming, of: PhantomData });
        Box::pin(async move { Response::message(&handling.await?) })
    }

    pub fn serve_server_streaming<'a, Req: Payload, Resp: Payload, F>(
        self,
        handler: impl FnOnce(Context, Req, ServerStreamingServer<Resp>) -> F + Send + 'a,
    ) -> ResponseFuture<'a>
    where
        F: Future<Output = Result<()>> + Send + 'a,
    {
        Box::pin(async move {
            let request = Req::decode(pop(&self.incoming).unwrap_or_default())?;
            let stream = ServerStreamingServer { outgoing: self.outgoing, of: PhantomData };
            handler(Context, request, stream).await.map(|()| Response::none())
        })
    }

    pub fn serve_bidi_streaming<'a, Req: Payload, Resp: Payload, F>(
        self,
        handler: impl FnOnce(Context, BidiStreamingServer<Req, Resp>) -> F,
    ) -> ResponseFuture<'a>
    where
        F: Future<Output = Result<()>> + Send + 'a,
    {
        let Self { incoming, outgoing, .. } = self;
        let handling = handler(Context, BidiStreamingServer { incoming, outgoing, of: PhantomData });
        Box::pin(async move { handling.await.map(|()| Response::none()) })
    }

    pub fn unknown_method<'a>(self) -> ResponseFuture<'a> {
        Box::pin(std::future::ready(Err(Error::new("unknown method"))))
    }
}

pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

pub struct Response(Option<Bytes>);

impl Response {
    pub fn message<M: Payload>(message: &M) -> Result<Self> {
        Ok(Self(Some(bytes(message)?)))
    }

    pub fn none() -> Self {
        Self(None)
    }
}

pub struct ClientStreamingServer<Req> {
    incoming: Pipe,
    of: PhantomData<Req>,
}

impl<Req: Payload> ClientStreamingServer<Req> {
    pub fn recv(&mut self) -> Result<Option<Req>> {
        pop(&self.incoming).map(|bytes| Ok(Req::decode(bytes)?)).transpose()
    }
}

pub struct ServerStreamingServer<Resp> {
    outgoing: Pipe,
    of: PhantomData<Resp>,
}

impl<Resp: Payload> ServerStreamingServer<Resp> {
    pub fn send(&mut self, message: &Resp) -> Result<()> {
        push(&self.outgoing, message)
    }
}

pub struct BidiStreamingServer<Req, Resp> {
    incoming: Pipe,
    outgoing: Pipe,
    of: PhantomData<(Req, Resp)>,
}

impl<Req: Payload, Resp: Payload> BidiStreamingServer<Req, Resp> {
    pub fn recv(&mut self) -> Result<Option<Req>> {
        pop(&self.incoming).map(|bytes| Ok(Req::decode(bytes)?)).transpose()
    }

    pub fn send(&mut self, message: &Resp) -> Result<()> {
        push(&self.outgoing, message)
    }
}

/// Calls a service of this process. Streams run when the client has sent all it has.
#[derive(Clone)]
pub struct Client(Arc<dyn Service>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    pub fn new(service: impl Service) -> Self {
        Self(Arc::new(service))
    }

    pub fn with_recv_timeout(&self, _: impl Into<Option<RecvTimeout>>) -> Self {
        self.clone()
    }

    pub fn with_options(&self, change: impl FnOnce(&mut CallOptions)) -> Self {
        change(&mut CallOptions);
        self.clone()
    }

    pub async fn close(&self) {}

    pub async fn call<A: Payload, R: Payload, C>(&self, _: &Context, method: &Method, args: &A) -> Result<R> {
        let answer = self.run(method, Pipe::default(), Pipe::default(), Some(bytes(args)?)).await?;
        Ok(R::decode(answer.0.ok_or_else(|| Error::new("no answer"))?)?)
    }

    pub async fn oneway<A: Payload, C>(&self, _: &Context, method: &Method, args: &A) -> Result<()> {
        self.run(method, Pipe::default(), Pipe::default(), Some(bytes(args)?)).await.map(drop)
    }

    pub async fn client_streaming<Req, Resp>(
        &self,
        _: &Context,
        method: &'static Method,
    ) -> Result<ClientStreamingClient<Req, Resp>> {
        Ok(BidiStreamingClient {
            client: self.clone(),
            method,
            up: Pipe::default(),
            down: Pipe::default(),
            of: PhantomData,
        })
    }

    pub async fn server_streaming<Req: Payload, Resp>(
        &self,
        _: &Context,
        method: &'static Method,
        request: &Req,
    ) -> Result<ServerStreamingClient<Resp>> {
        let down = Pipe::default();
        self.run(method, Pipe::default(), Arc::clone(&down), Some(bytes(request)?)).await?;
        Ok(ServerStreamingClient { down, of: PhantomData })
    }

    pub async fn bidi_streaming<Req, Resp>(
        &self,
        ctx: &Context,
        method: &'static Method,
    ) -> Result<BidiStreamingClient<Req, Resp>> {
        self.client_streaming(ctx, method).await
    }

    async fn run(&self, method: &Method, up: Pipe, down: Pipe, first: Option<Bytes>) -> Result<Response> {
        up.lock().unwrap().extend(first);
        let index = self.0.methods().iter().position(|known| known == method).unwrap_or(usize::MAX);
        self.0.call(Call { index, incoming: up, outgoing: down }).await
    }
}

pub struct BidiStreamingClient<Req, Resp> {
    client: Client,
    method: &'static Method,
    up: Pipe,
    down: Pipe,
    of: PhantomData<(Req, Resp)>,
}

pub type ClientStreamingClient<Req, Resp> = BidiStreamingClient<Req, Resp>;

impl<Req: Payload, Resp: Payload> BidiStreamingClient<Req, Resp> {
    pub fn send(&mut self, message: &Req) -> Result<()> {
        push(&self.up, message)
    }

    pub async fn close_and_recv(self) -> Result<Resp> {
        let answer = self.client.run(self.method, self.up, self.down, None).await?;
        Ok(Resp::decode(answer.0.unwrap_or_default())?)
    }

    pub async fn finish(self) -> Result<Vec<Resp>> {
        self.client.run(self.method, self.up, Arc::clone(&self.down), None).await?;
        all(&self.down)
    }
}

pub struct ServerStreamingClient<Resp> {
    down: Pipe,
    of: PhantomData<Resp>,
}

impl<Resp: Payload> ServerStreamingClient<Resp> {
    pub fn all(self) -> Result<Vec<Resp>> {
        all(&self.down)
    }
}

fn all<M: Payload>(pipe: &Pipe) -> Result<Vec<M>> {
    std::iter::from_fn(|| pop(pipe)).map(|bytes| Ok(M::decode(bytes)?)).collect()
}

fn bytes(message: &impl Payload) -> Result<Bytes> {
    let mut buf = BytesMut::new();
    message.encode(&mut buf)?;
    Ok(buf.freeze())
}

fn pop(pipe: &Pipe) -> Option<Bytes> {
    pipe.lock().unwrap().pop_front()
}

fn push(pipe: &Pipe, message: &impl Payload) -> Result<()> {
    pipe.lock().unwrap().push_back(bytes(message)?);
    Ok(())
}

/// Runs what never waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the stand-in never waits"),
    }
}
