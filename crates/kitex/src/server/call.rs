//! One call on its way from the router to a handler, and its answer on the way back.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use kerrors::{ApplicationException, Error, Result};

use crate::codec::{Payload, Thrift};
use crate::context::Request;
use crate::invoke::RawStream;
use crate::message_layer::MessageSettings;
use crate::streams::{
    BidiStreamingServer, ClientStreamingServer, MessageReceiver, ServerStreamingServer, encode,
};
use crate::{Context, Method};

/// A call: its context, and its arguments or its streams. For generated code.
#[derive(Debug)]
pub struct Call {
    pub(super) ctx: Context,
    pub(super) method: Arc<Method>,
    /// The place of the method among those of its service.
    pub(super) index: usize,
    pub(super) input: Input,
}

pub(super) enum Input {
    Args { args: Bytes, settings: MessageSettings },
    Stream { raw: RawStream, request: Arc<Request>, settings: MessageSettings },
}

/// How much there is, not what: it may be a secret.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args { args, .. } => write!(f, "{} bytes", args.len()),
            Self::Stream { raw, .. } => raw.fmt(f),
        }
    }
}

impl Call {
    /// The arguments of a ping-pong call.
    ///
    /// # Errors
    /// They cannot be decoded.
    pub fn into_args<A: Payload<C>, C>(self) -> Result<(Context, A)> {
        match self.input {
            Input::Args { args, settings } => Ok((self.ctx, A::decode_within(args, settings.limits())?)),
            Input::Stream { .. } => Err(wrong_kind(&self.method)),
        }
    }

    /// Serves a stream of requests.
    pub fn serve_client_streaming<'a, Req, Resp, F, C>(
        self,
        handler: impl FnOnce(Context, ClientStreamingServer<Req, C>) -> F,
    ) -> ResponseFuture<'a>
    where
        Req: Payload<C>,
        Resp: Payload<C>,
        F: Future<Output = Result<Resp>> + Send + 'a,
    {
        match self.into_stream() {
            Ok((ctx, raw, request, settings)) => {
                let handling = handler(ctx, ClientStreamingServer::new(raw, request, settings));
                Box::pin(async move { Response::message_as(&handling.await?) })
            }
            Err(error) => refuse(error),
        }
    }

    /// Serves one request with a stream of answers. Fails if no request comes, or one that cannot be decoded.
    pub fn serve_server_streaming<'a, Req, Resp, H, F, C: 'a>(self, handler: H) -> ResponseFuture<'a>
    where
        Req: Payload<C>,
        Resp: Payload<C>,
        H: FnOnce(Context, Req, ServerStreamingServer<Resp, C>) -> F + Send + Unpin + 'a,
        F: Future<Output = Result<()>> + Send + Unpin + 'a,
    {
        match self.into_stream() {
            Ok((ctx, RawStream { sender, receiver }, request, settings)) => {
                let receiver = MessageReceiver::new(receiver, settings.clone());
                let stream = ServerStreamingServer::new(sender, request, settings);
                Box::pin(ServeOne::Waiting(Some((ctx, receiver, stream, handler))))
            }
            Err(error) => refuse(error),
        }
    }

    /// Serves two streams.
    pub fn serve_bidi_streaming<'a, Req, Resp, F, C>(
        self,
        handler: impl FnOnce(Context, BidiStreamingServer<Req, Resp, C>) -> F,
    ) -> ResponseFuture<'a>
    where
        Req: Payload<C>,
        Resp: Payload<C>,
        F: Future<Output = Result<()>> + Send + 'a,
    {
        match self.into_stream() {
            Ok((ctx, raw, request, settings)) => {
                let handling = handler(ctx, BidiStreamingServer::new(raw, request, settings));
                Box::pin(async move { handling.await.map(|()| Response::none()) })
            }
            Err(error) => refuse(error),
        }
    }

    /// Returns the call with messages as bytes: for a proxy, or for a method that is known only at run time.
    pub fn into_raw(self) -> (Context, RawCall) {
        let raw = match self.input {
            Input::Args { args, .. } => RawCall::PingPong(args),
            Input::Stream { raw, .. } => RawCall::Stream(raw),
        };
        (self.ctx, raw)
    }

    /// Returns the place of the method in [`Service::methods`](super::Service::methods). For generated code.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Fails as an index does that no method has. For generated code.
    pub fn unknown_method<'a>(self) -> ResponseFuture<'a> {
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

    fn into_stream(self) -> Result<(Context, RawStream, Arc<Request>, MessageSettings)> {
        match self.input {
            Input::Stream { raw, request, settings } => Ok((self.ctx, raw, request, settings)),
            Input::Args { .. } => Err(wrong_kind(&self.method)),
        }
    }
}

/// What a call brings, as bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum RawCall {
    /// The encoded arguments of a ping-pong call; the answer is the encoded result, see [`Response::raw`].
    PingPong(Bytes),
    /// A stream. Its answer is [`Response::none`].
    Stream(RawStream),
}

/// A call that is being served.
pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

fn refuse<'a>(error: Error) -> ResponseFuture<'a> {
    Box::pin(std::future::ready(Err(error)))
}

type Unserved<Req, Resp, H, C> = (Context, MessageReceiver<Req, C>, ServerStreamingServer<Resp, C>, H);

/// Waits for the one request, then for the handler: never for both, so that it holds one or the other.
enum ServeOne<Req, Resp, H, F, C> {
    /// Taken when the request is there.
    Waiting(Option<Unserved<Req, Resp, H, C>>),
    Handling(F),
}

impl<Req, Resp, H, F, C> Future for ServeOne<Req, Resp, H, F, C>
where
    Req: Payload<C>,
    Resp: Payload<C>,
    H: FnOnce(Context, Req, ServerStreamingServer<Resp, C>) -> F + Unpin,
    F: Future<Output = Result<()>> + Unpin,
{
    type Output = Result<Response>;

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
            Self::Handling(handling) => Pin::new(handling).poll(cx).map_ok(|()| Response::none()),
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
pub struct Response(Option<Bytes>);

/// How much there is, not what: it may be a secret.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} bytes)", self.0.as_ref().map_or(0, Bytes::len))
    }
}

impl Response {
    /// Nothing more: what was to be said went over the stream.
    pub const fn none() -> Self {
        Self(None)
    }

    /// One message in Thrift: the result of a ping-pong call, the response to a stream of requests.
    ///
    /// # Errors
    /// The message cannot be encoded.
    pub fn message(message: &impl Payload) -> Result<Self> {
        Self::message_as::<Thrift>(message)
    }

    /// As [`message`](Self::message), in the encoding `C`.
    ///
    /// # Errors
    /// The message cannot be encoded.
    pub fn message_as<C>(message: &impl Payload<C>) -> Result<Self> {
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
