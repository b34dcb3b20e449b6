//! One call on its way from the router to a handler, and its answer on the way back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use kerrors::{ApplicationException, Error, Result};
use kitex_thrift::Payload;

use crate::context::Request;
use crate::invoke::RawStream;
use crate::message_layer::MessageLayers;
use crate::streams::{
    BidiStreamingServer, ClientStreamingServer, MessageReceiver, ServerStreamingServer, encode,
};
use crate::{Context, Method};

/// A call: its context, and its arguments or its streams. For generated code.
#[derive(Debug)]
pub struct Call {
    pub(super) ctx: Context,
    pub(super) method: Arc<Method>,
    pub(super) input: Input,
}

pub(super) enum Input {
    Args(Bytes),
    Stream { raw: RawStream, request: Arc<Request>, layers: MessageLayers },
}

/// How much there is, not what: it may be a secret.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args(args) => write!(f, "{} bytes", args.len()),
            Self::Stream { raw, .. } => raw.fmt(f),
        }
    }
}

impl Call {
    /// The arguments of a ping-pong call.
    ///
    /// # Errors
    /// They cannot be decoded.
    pub fn into_args<A: Payload>(self) -> Result<(Context, A)> {
        match self.input {
            Input::Args(args) => Ok((self.ctx, A::decode(args).map_err(Error::codec)?)),
            Input::Stream { .. } => Err(wrong_kind(&self.method)),
        }
    }

    /// Serves a stream of requests.
    pub fn serve_client_streaming<'a, Req, Resp, F>(
        self,
        handler: impl FnOnce(Context, ClientStreamingServer<Req>) -> F,
    ) -> Answering<'a>
    where
        Req: Payload,
        Resp: Payload,
        F: Future<Output = Result<Resp>> + Send + 'a,
    {
        match self.into_stream() {
            Ok((ctx, raw, request, layers)) => {
                let handling = handler(ctx, ClientStreamingServer::new(raw, request, layers));
                Box::pin(async move { Answer::message(&handling.await?) })
            }
            Err(error) => refuse(error),
        }
    }

    /// Serves one request with a stream of answers. Fails if no request comes, or one that cannot be decoded.
    pub fn serve_server_streaming<'a, Req, Resp, H, F>(self, handler: H) -> Answering<'a>
    where
        Req: Payload,
        Resp: Payload,
        H: FnOnce(Context, Req, ServerStreamingServer<Resp>) -> F + Send + Unpin + 'a,
        F: Future<Output = Result<()>> + Send + Unpin + 'a,
    {
        match self.into_stream() {
            Ok((ctx, RawStream { sender, receiver }, request, layers)) => {
                let receiver = MessageReceiver::new(receiver, layers.clone());
                let stream = ServerStreamingServer::new(sender, request, layers);
                Box::pin(ServeOne::Waiting(Some((ctx, receiver, stream, handler))))
            }
            Err(error) => refuse(error),
        }
    }

    /// Serves two streams.
    pub fn serve_bidi_streaming<'a, Req, Resp, F>(
        self,
        handler: impl FnOnce(Context, BidiStreamingServer<Req, Resp>) -> F,
    ) -> Answering<'a>
    where
        Req: Payload,
        Resp: Payload,
        F: Future<Output = Result<()>> + Send + 'a,
    {
        match self.into_stream() {
            Ok((ctx, raw, request, layers)) => {
                let handling = handler(ctx, BidiStreamingServer::new(raw, request, layers));
                Box::pin(async move { handling.await.map(|()| Answer::none()) })
            }
            Err(error) => refuse(error),
        }
    }

    /// Returns the call with messages as bytes: for a proxy, or for a method that is known only at run time.
    pub fn into_raw(self) -> (Context, RawCall) {
        let raw = match self.input {
            Input::Args(args) => RawCall::PingPong(args),
            Input::Stream { raw, .. } => RawCall::Stream(raw),
        };
        (self.ctx, raw)
    }

    /// Fails as a number does that no method has.
    pub fn unknown_method<'a>(self) -> Answering<'a> {
        refuse(Error::Remote(ApplicationException::unknown_method(self.method.name())))
    }

    /// The context of the call.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// The method that is called.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The same call under another context: a child of the first, most likely.
    #[must_use]
    pub fn with_context(self, ctx: Context) -> Self {
        Self { ctx, ..self }
    }

    fn into_stream(self) -> Result<(Context, RawStream, Arc<Request>, MessageLayers)> {
        match self.input {
            Input::Stream { raw, request, layers } => Ok((self.ctx, raw, request, layers)),
            Input::Args(_) => Err(wrong_kind(&self.method)),
        }
    }
}

/// What a call brings, as bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum RawCall {
    /// The encoded arguments of a ping-pong call; the answer is the encoded result, see [`Answer::raw`].
    PingPong(Bytes),
    /// A stream. Its answer is [`Answer::none`].
    Stream(RawStream),
}

/// A call that is being served.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer>> + Send + 'a>>;

fn refuse<'a>(error: Error) -> Answering<'a> {
    Box::pin(std::future::ready(Err(error)))
}

/// Waits for the one request, then for the handler: never for both, so that it holds one or the other.
enum ServeOne<Req, Resp, H, F> {
    /// Taken when the request is there.
    Waiting(Option<(Context, MessageReceiver<Req>, ServerStreamingServer<Resp>, H)>),
    Handling(F),
}

impl<Req, Resp, H, F> Future for ServeOne<Req, Resp, H, F>
where
    Req: Payload,
    Resp: Payload,
    H: FnOnce(Context, Req, ServerStreamingServer<Resp>) -> F + Unpin,
    F: Future<Output = Result<()>> + Unpin,
{
    type Output = Result<Answer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Self::Waiting(waiting) = &mut *self
            && let Some((_, receiver, ..)) = waiting
        {
            let request = ready!(Pin::new(&mut receiver.recv()).poll(cx))?;
            if let Some((ctx, _, stream, handler)) = waiting.take() {
                let request = request.ok_or_else(|| missing(&ctx))?;
                *self = Self::Handling(handler(ctx, request, stream));
            }
        }
        match &mut *self {
            Self::Handling(handling) => Pin::new(handling).poll(cx).map_ok(|()| Answer::none()),
            // Polled though it has failed.
            Self::Waiting(_) => Poll::Pending,
        }
    }
}

fn missing(ctx: &Context) -> Error {
    let called = ctx.method().map(Method::to_string);
    Error::other(format!("no request for {}", called.unwrap_or_default()))
}

fn wrong_kind(method: &Method) -> Error {
    Error::other(format!("{method} is called as what it is not"))
}

/// What a handler leaves to be sent.
#[derive(Default)]
pub struct Answer(Option<Bytes>);

/// How much there is, not what: it may be a secret.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} bytes)", self.0.as_ref().map_or(0, Bytes::len))
    }
}

impl Answer {
    /// Nothing more: what was to be said went over the stream.
    pub const fn none() -> Self {
        Self(None)
    }

    /// One message: the result of a ping-pong call, the answer to a stream of requests.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn message(message: &impl Payload) -> Result<Self> {
        Ok(Self(Some(encode(message)?.freeze())))
    }

    /// One encoded message.
    pub fn raw(message: impl Into<Bytes>) -> Self {
        Self(Some(message.into()))
    }

    pub(super) fn into_bytes(self) -> Option<Bytes> {
        self.0
    }
}
