//! Clients: how a service is reached, and under which name it is called.

mod builder;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kerrors::{Error, RecvTimeout, Result};
use kitex_thrift::{Fault, Payload};
use stream_core::client::Request;
use stream_core::stream::{RecvStream, SendStream};
use stream_core::unary::{CallAnswer, CallRequest};

pub use builder::{BuildError, ClientBuilder};
pub use stream_core::client::{AddressSource, PoolKind, StaticAddresses};
pub use stream_core::proto::Config as ConnectionConfig;
pub use stream_core::unary::CallProtocol;

use crate::metainfo::Propagation;
use crate::streams::{BidiStreamingClient, ClientStreamingClient, ServerStreamingClient, encode};
use crate::{Context, Method};

/// Calls one service. Cheap to clone; clones share connections. Generated clients stand on it.
#[derive(Clone, Debug)]
pub struct Client {
    raw: stream_core::client::Client,
    shared: Arc<Shared>,
    recv_timeout: Option<RecvTimeout>,
    send_timeout: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    /// The caller's own name; without one, that of the handler under whose context a call is made.
    caller: Option<Arc<str>>,
    service: Arc<str>,
    call_protocol: CallProtocol,
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
        Self { recv_timeout: timeout.into(), ..self.clone() }
    }

    /// The same client, with another Send timeout.
    #[must_use]
    pub fn with_send_timeout(&self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { send_timeout: timeout.into(), ..self.clone() }
    }

    /// Makes a ping-pong call. For generated code.
    ///
    /// # Errors
    /// What the handler ended with; that no connection could be had, or it was lost; that the context
    /// ended.
    pub async fn call<A: Payload, R: Payload>(
        &self,
        ctx: &Context,
        method: &'static Method,
        args: &A,
    ) -> Result<R> {
        let answer = self.send_call(ctx, method, args).await?;
        R::decode(answer.body).map_err(|error| match error.fault() {
            Fault::MissingResult => Error::missing_result(method.name),
            _ => Error::codec(error),
        })
    }

    /// Makes a call that is not answered; it has been handed to the system when this returns. For
    /// generated code.
    ///
    /// # Errors
    /// That no connection could be had, or it was lost; that the context ended.
    pub async fn oneway<A: Payload>(&self, ctx: &Context, method: &'static Method, args: &A) -> Result<()> {
        self.send_call(ctx, method, args).await.map(drop)
    }

    async fn send_call(
        &self,
        ctx: &Context,
        method: &'static Method,
        args: &impl Payload,
    ) -> Result<CallAnswer> {
        let Shared { service, call_protocol, propagation, .. } = &*self.shared;
        let request = CallRequest {
            protocol: *call_protocol,
            method: method.name,
            metadata: &ctx.strings(method, *propagation),
            from: self.caller(ctx),
            to: service,
            body: &encode(args)?,
            oneway: method.oneway,
            scope: ctx.scope(),
            deadline: self.deadline(ctx.deadline()),
        };
        self.raw.call(&request).await
    }

    /// Opens a stream of requests with one answer. For generated code.
    ///
    /// # Errors
    /// That no connection could be had; that the context has ended; that the header is too large.
    pub async fn client_streaming<Req: Payload, Resp: Payload>(
        &self,
        ctx: &Context,
        method: &'static Method,
    ) -> Result<ClientStreamingClient<Req, Resp>> {
        let (sender, receiver) = self.open(ctx, method).await?;
        Ok(ClientStreamingClient::new(sender, receiver))
    }

    /// Opens a stream of answers to `request`. For generated code.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming); that the request cannot be encoded.
    pub async fn server_streaming<Req: Payload, Resp: Payload>(
        &self,
        ctx: &Context,
        method: &'static Method,
        request: &Req,
    ) -> Result<ServerStreamingClient<Resp>> {
        let request = encode(request)?;
        let (sender, receiver) = self.open(ctx, method).await?;
        sender.send(&request).await?;
        sender.close_send();
        Ok(ServerStreamingClient::new(receiver))
    }

    /// Opens two streams. For generated code.
    ///
    /// # Errors
    /// As [`client_streaming`](Self::client_streaming).
    pub async fn bidi_streaming<Req: Payload, Resp: Payload>(
        &self,
        ctx: &Context,
        method: &'static Method,
    ) -> Result<BidiStreamingClient<Req, Resp>> {
        let (sender, receiver) = self.open(ctx, method).await?;
        Ok(BidiStreamingClient::new(sender, receiver))
    }

    async fn open(&self, ctx: &Context, method: &'static Method) -> Result<(SendStream, RecvStream)> {
        let wire = method
            .wire()
            .ok_or_else(|| Error::codec(format!("method name {:?} is too long", method.name)))?;
        let request = Request {
            method: wire,
            metadata: &ctx.strings(method, self.shared.propagation),
            service: self.caller(ctx),
            scope: ctx.scope(),
            deadline: self.deadline(ctx.enforced_deadline()),
            told_deadline: self.deadline(ctx.deadline()),
            recv_timeout: self.recv_timeout,
            send_timeout: self.send_timeout,
        };
        self.raw.open(&request).await
    }

    fn caller<'a>(&'a self, ctx: &'a Context) -> &'a Arc<str> {
        let Shared { caller, anonymous, .. } = &*self.shared;
        caller.as_ref().or_else(|| ctx.service_name()).unwrap_or(anonymous)
    }

    fn deadline(&self, outer: Option<Instant>) -> Option<Instant> {
        let own = self.shared.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        outer.into_iter().chain(own).min()
    }
}
