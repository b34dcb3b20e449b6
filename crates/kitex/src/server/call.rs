//! One call from the router to a handler, and its response.

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

/// A call: its context, and its arguments or its stream. For generated code and middleware.
#[derive(Debug)]
pub struct Call {
    pub(super) ctx: Context,
    pub(super) method: Arc<Method>,
    /// The index of the method in its service.
    pub(super) index: usize,
    pub(super) input: Input,
}

pub(super) enum Input {
    Args { args: Bytes, settings: MessageSettings },
    Stream { raw: RawStream, request: Arc<Request>, settings: MessageSettings },
}

/// Shows the size of the payload only: it may be a secret.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args { args, .. } => write!(f, "{} bytes", args.len()),
            Self::Stream { raw, .. } => raw.fmt(f),
        }
    }
}

impl Call {
    /// Decodes the arguments of a ping-pong call.
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

    /// Serves one request with a stream of responses. Fails if no request is received, or it cannot be decoded.
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

    /// Serves a bidirectional stream.
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

    /// Returns the call with messages as bytes, for a proxy or for a method that is known only at run time.
    pub fn into_raw(self) -> (Context, RawCall) {
        let raw = match self.input {
            Input::Args { args, .. } => RawCall::PingPong(args),
            Input::Stream { raw, .. } => RawCall::Stream(raw),
        };
        (self.ctx, raw)
    }

    /// Returns the index of the method in [`Service::methods`](super::Service::methods). For generated code.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the error for an index that no method has. For generated code.
    pub fn unknown_method<'a>(self) -> ResponseFuture<'a> {
        refuse(Error::Remote(ApplicationException::unknown_method(self.method.name())))
    }

    /// Returns the context of the call.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Returns the method that is called.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the same call with another context, usually a child of its own.
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

/// The payload of a call, as bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum RawCall {
    /// The encoded arguments of a ping-pong call; respond with the encoded result by [`Response::raw`].
    PingPong(Bytes),
    /// A stream; respond with [`Response::none`].
    Stream(RawStream),
}

/// A call that is being served.
pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

fn refuse<'a>(error: Error) -> ResponseFuture<'a> {
    Box::pin(std::future::ready(Err(error)))
}

type Unserved<Req, Resp, H, C> = (Context, MessageReceiver<Req, C>, ServerStreamingServer<Resp, C>, H);

/// Waits for the request, then for the handler. It never holds both futures.
enum ServeOne<Req, Resp, H, F, C> {
    /// Taken when the request has arrived.
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
            // Polled again after it has failed.
            Self::Waiting(_) => Poll::Pending,
        }
    }
}

fn missing(ctx: &Context) -> Error {
    let called = ctx.method().map(Method::to_string);
    Error::other(format!("no request for {}", called.unwrap_or_default()))
}

fn wrong_kind(method: &Method) -> Error {
    Error::other(format!("{method} has another streaming mode"))
}

/// The response of a handler, apart from messages sent on its stream.
#[derive(Default)]
pub struct Response(Option<Bytes>);

/// Shows the size of the message only: it may be a secret.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} bytes)", self.0.as_ref().map_or(0, Bytes::len))
    }
}

impl Response {
    /// Returns an empty response: all messages were sent on the stream.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Returns a response of one message in Thrift: the result of a ping-pong call, or the response to a stream of
    /// requests.
    ///
    /// # Errors
    /// The message cannot be encoded.
    pub fn message(message: &impl Payload) -> Result<Self> {
        Self::message_as::<Thrift>(message)
    }

    /// Returns a response of one message in the encoding `C`; see [`message`](Self::message).
    ///
    /// # Errors
    /// The message cannot be encoded.
    pub fn message_as<C>(message: &impl Payload<C>) -> Result<Self> {
        Ok(Self(Some(encode(message)?.freeze())))
    }

    /// Returns a response of one encoded message.
    pub fn raw(message: impl Into<Bytes>) -> Self {
        Self(Some(message.into()))
    }

    pub(super) fn into_bytes(self) -> Option<Bytes> {
        self.0
    }
}
