//! Clients: how a service is reached, and under which name it is called.

mod builder;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, RecvTimeout, Result};
use kitex_thrift::{Fault, Payload};
use stream_core::call::{OutgoingCall, UnaryRequest, UnaryResponse};
use stream_core::{Metadata, Metainfo, clock};

pub use builder::{BuildError, ClientBuilder, Transport};
pub use kitex_grpc::GrpcConfig;
pub use stream_core::client::{AddressSource, PoolKind, PoolStats, StaticAddresses};
pub use ttstream::CallProtocol;
pub use ttstream::proto::Config as ConnectionConfig;

use crate::metainfo::Propagation;
use crate::middleware::{Caller, MessageLayers, RawStream};
use crate::streams::{
    BidiStreamingClient, ClientStreamingClient, MessageSender, ServerStreamingClient, encode,
};
use crate::{Context, Method};

/// Calls one service. Cheap to clone; clones share connections. Generated clients stand on it.
#[derive(Clone)]
pub struct Client {
    direct: Direct,
    /// The layers around `direct`, if there are any.
    layered: Option<Arc<dyn Caller>>,
    message_layers: MessageLayers,
    options: CallOptions,
}

/// What one call or stream may have of its own.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long each Recv may wait.
    pub recv_timeout: Option<RecvTimeout>,
    /// How long each Send may wait. Then the stream ends with 12904.
    pub send_timeout: Option<Duration>,
    /// Strings that the header takes along, beside metainfo.
    pub headers: Metadata,
}

/// Calls without any layer.
#[derive(Clone, Debug)]
struct Direct {
    raw: stream_core::client::Client,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The caller's own name; without one, that of the handler under whose context a call is made.
    caller: Option<Arc<str>>,
    service: Arc<str>,
    propagation: Propagation,
    timeout: Option<Duration>,
    anonymous: Arc<str>,
}

impl Client {
    /// A client of `service`, the name under which the callee is known.
    pub fn builder(service: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(service.into())
    }

    /// The same client, with another Recv timeout.
    #[must_use]
    pub fn with_recv_timeout(&self, timeout: impl Into<Option<RecvTimeout>>) -> Self {
        self.with_options(|options| options.recv_timeout = timeout.into())
    }

    /// The same client, with other options for its calls.
    #[must_use]
    pub fn with_options(&self, change: impl FnOnce(&mut CallOptions)) -> Self {
        let mut client = self.clone();
        change(&mut client.options);
        client
    }

    /// Takes leave: closes the connections, after what is queued has been written and, where a stream was
    /// canceled, its peer has had the time to learn who did it. For a program that is about to end.
    pub async fn close(&self) {
        self.direct.raw.close().await;
    }

    /// How its connections stand.
    pub fn pool_stats(&self) -> PoolStats {
        self.direct.raw.pool_stats()
    }

    /// Makes a ping-pong call. For generated code.
    ///
    /// # Errors
    /// What the handler ended with; that no connection could be had, or it was lost; that the context
    /// ended.
    pub async fn call<A: Payload, R: Payload>(&self, ctx: &Context, method: &Method, args: &A) -> Result<R> {
        let result = self.send_call(ctx, method, args).await?;
        R::decode(result).map_err(|error| match error.fault() {
            Fault::MissingResult => Error::missing_result(method.name()),
            _ => Error::codec(error),
        })
    }

    /// Makes a call that is not answered; it has been handed to the system when this returns. For
    /// generated code.
    ///
    /// # Errors
    /// That no connection could be had, or it was lost; that the context ended.
    pub async fn oneway<A: Payload>(&self, ctx: &Context, method: &Method, args: &A) -> Result<()> {
        self.send_call(ctx, method, args).await.map(drop)
    }

    async fn send_call(&self, ctx: &Context, method: &Method, args: &impl Payload) -> Result<Bytes> {
        let (args, options) = (encode(args)?.freeze(), self.options.clone());
        match &self.layered {
            Some(caller) => caller.call(ctx, method, options, args).await,
            None => Box::pin(self.direct.call_now(ctx, method, options, args)).await,
        }
    }

    /// Opens a stream of requests with one answer. For generated code.
    ///
    /// # Errors
    /// That no connection could be had; that the context has ended; that the header is too large.
    pub async fn client_streaming<Req: Payload, Resp: Payload>(
        &self,
        ctx: &Context,
        method: &Method,
    ) -> Result<ClientStreamingClient<Req, Resp>> {
        let stream = self.open(ctx, method).await?;
        Ok(ClientStreamingClient::new(stream, self.message_layers.clone()))
    }

    /// Opens a stream of answers to `request`. For generated code.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming); that the request cannot be encoded.
    pub async fn server_streaming<Req: Payload, Resp: Payload>(
        &self,
        ctx: &Context,
        method: &Method,
        request: &Req,
    ) -> Result<ServerStreamingClient<Resp>> {
        let RawStream { sender, receiver } = self.open(ctx, method).await?;
        let sender = MessageSender::new(sender, self.message_layers.clone());
        sender.send(request).await?;
        sender.close_send();
        Ok(ServerStreamingClient::new(receiver, self.message_layers.clone()))
    }

    /// Opens two streams. For generated code.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming).
    pub async fn bidi_streaming<Req: Payload, Resp: Payload>(
        &self,
        ctx: &Context,
        method: &Method,
    ) -> Result<BidiStreamingClient<Req, Resp>> {
        let stream = self.open(ctx, method).await?;
        Ok(BidiStreamingClient::new(stream, self.message_layers.clone()))
    }

    async fn open(&self, ctx: &Context, method: &Method) -> Result<RawStream> {
        let options = self.options.clone();
        match &self.layered {
            Some(caller) => caller.open(ctx, method, options).await,
            // Boxed: the way to a stream is short and wide, and would widen every handler that goes it.
            None => Box::pin(self.direct.open_now(ctx, method, options)).await,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { direct, message_layers, options, .. } = self;
        f.debug_struct("Client")
            .field("service", &direct.shared.service)
            .field("options", options)
            .field("message_layers", message_layers)
            .finish_non_exhaustive()
    }
}

#[crate::async_trait]
impl Caller for Direct {
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes> {
        self.call_now(ctx, method, options, args).await
    }

    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        self.open_now(ctx, method, options).await
    }
}

impl Direct {
    async fn call_now(
        &self,
        ctx: &Context,
        method: &Method,
        options: CallOptions,
        args: Bytes,
    ) -> Result<Bytes> {
        let metainfo = ctx.outgoing_metainfo(self.shared.propagation);
        let deadline = self.deadline(ctx.deadline());
        let call = self.outgoing(ctx, method, &options, metainfo.as_deref());
        let call = OutgoingCall { deadline, wire_deadline: deadline, ..call };
        let UnaryResponse { backward, result, .. } =
            self.raw.call(UnaryRequest { call, body: &args }).await?;
        ctx.receive_backward(backward);
        result
    }

    async fn open_now(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        let metainfo = ctx.outgoing_metainfo(self.shared.propagation);
        let call = OutgoingCall {
            deadline: self.deadline(ctx.enforced_deadline()),
            wire_deadline: self.deadline(ctx.deadline()),
            ..self.outgoing(ctx, method, &options, metainfo.as_deref())
        };
        let (sender, receiver) = self.raw.open(&call).await?;
        Ok(RawStream { sender, receiver })
    }

    fn outgoing<'a>(
        &'a self,
        ctx: &'a Context,
        method: &'a Method,
        options: &'a CallOptions,
        metainfo: Option<&'a Metainfo>,
    ) -> OutgoingCall<'a> {
        OutgoingCall {
            method,
            callee: &self.shared.service,
            caller: self.caller(ctx),
            metainfo,
            headers: &options.headers,
            scope: ctx.scope(),
            deadline: None,
            wire_deadline: None,
            recv_timeout: options.recv_timeout,
            send_timeout: options.send_timeout,
        }
    }

    fn caller<'a>(&'a self, ctx: &'a Context) -> &'a Arc<str> {
        let Shared { caller, anonymous, .. } = &*self.shared;
        caller.as_ref().or_else(|| ctx.service_name()).unwrap_or(anonymous)
    }

    fn deadline(&self, outer: Option<Instant>) -> Option<Instant> {
        let own = self.shared.timeout.and_then(|timeout| clock::now().checked_add(timeout));
        outer.into_iter().chain(own).min()
    }
}
