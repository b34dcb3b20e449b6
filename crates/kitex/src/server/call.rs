//! One call on its way from the router to a handler, and its answer on the way back.

use std::fmt;

use std::sync::Arc;

use bytes::Bytes;
use kerrors::{ApplicationException, Error, Result};
use kitex_thrift::Payload;

use crate::context::Request;
use crate::middleware::{MessageLayers, RawStream};
use crate::streams::{
    BidiStreamingServer, ClientStreamingServer, MessageReceiver, ServerStreamingServer, encode,
};
use crate::{Context, Method};

/// A call: its context, and its arguments or its streams. For generated code.
#[derive(Debug)]
pub struct Call {
    pub(super) ctx: Context,
    pub(super) method: &'static Method,
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
            Input::Stream { .. } => Err(wrong_kind(self.method)),
        }
    }

    /// A stream of requests.
    ///
    /// # Errors
    /// The call is no stream.
    pub fn into_client_streaming<Req: Payload>(self) -> Result<(Context, ClientStreamingServer<Req>)> {
        let (ctx, raw, request, layers) = self.into_stream()?;
        Ok((ctx, ClientStreamingServer::new(raw, request, layers)))
    }

    /// The one request, and a stream for the answers.
    ///
    /// # Errors
    /// The call is no stream; no request came; it cannot be decoded.
    pub fn into_server_streaming<Req: Payload, Resp: Payload>(
        self,
    ) -> impl Future<Output = Result<(Context, Req, ServerStreamingServer<Resp>)>> + Send {
        // Taken apart before the future is made and put together behind its last wait, so that it holds
        // nothing twice.
        let method = self.method;
        let mut parts = self.into_stream().map(|(ctx, RawStream { sender, receiver }, request, layers)| {
            let receiver = MessageReceiver::new(receiver, layers.clone());
            (ctx, receiver, ServerStreamingServer::new(sender, request, layers))
        });
        async move {
            let request = match &mut parts {
                Ok((_, receiver, _)) => receiver.recv().await?,
                Err(_) => None,
            };
            let (ctx, _, stream) = parts?;
            let missing = || Error::other(format!("no request for {}.{}", method.service, method.name));
            Ok((ctx, request.ok_or_else(missing)?, stream))
        }
    }

    /// Two streams.
    ///
    /// # Errors
    /// The call is no stream.
    pub fn into_bidi_streaming<Req: Payload, Resp: Payload>(
        self,
    ) -> Result<(Context, BidiStreamingServer<Req, Resp>)> {
        let (ctx, raw, request, layers) = self.into_stream()?;
        Ok((ctx, BidiStreamingServer::new(raw, request, layers)))
    }

    /// The answer to a number that no method has.
    pub fn unknown_method(&self) -> Error {
        Error::Remote(ApplicationException::unknown_method(self.method.name))
    }

    /// The context of the call.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// The method that is called.
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// The same call under another context: a child of the first, most likely.
    #[must_use]
    pub fn with_context(self, ctx: Context) -> Self {
        Self { ctx, ..self }
    }

    fn into_stream(self) -> Result<(Context, RawStream, Arc<Request>, MessageLayers)> {
        match self.input {
            Input::Stream { raw, request, layers } => Ok((self.ctx, raw, request, layers)),
            Input::Args(_) => Err(wrong_kind(self.method)),
        }
    }
}

fn wrong_kind(method: &Method) -> Error {
    Error::other(format!("{}.{} is called as what it is not", method.service, method.name))
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

    pub(super) fn into_bytes(self) -> Option<Bytes> {
        self.0
    }
}
