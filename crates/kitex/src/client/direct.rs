//! Calls without middleware. Owns what a call takes from its context and its client, and passes to the transport.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::Result;
use stream_core::call::{OutgoingCall, UnaryRequest, UnaryResponse};
use stream_core::{Metainfo, clock};

use super::options::CallOptions;
use crate::invoke::{Invoke, RawStream};
use crate::metainfo::Propagation;
use crate::{Context, Method};

/// Makes calls without middleware.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    pub(super) raw: stream_core::client::Client,
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// The caller's own name; without one, that of the handler under whose context a call is made.
    pub(super) caller: Option<Arc<str>>,
    pub(super) service: Arc<str>,
    pub(super) propagation: Propagation,
    pub(super) timeout: Option<Duration>,
    pub(super) anonymous: Arc<str>,
}

#[crate::async_trait]
impl Invoke for Direct {
    async fn call(&self, ctx: &Context, method: &Method, options: CallOptions, args: Bytes) -> Result<Bytes> {
        self.call_now(ctx, method, options, args).await
    }

    async fn open(&self, ctx: &Context, method: &Method, options: CallOptions) -> Result<RawStream> {
        self.open_now(ctx, method, options).await
    }
}

impl Direct {
    pub(super) async fn call_now(
        &self,
        ctx: &Context,
        method: &Method,
        options: CallOptions,
        args: Bytes,
    ) -> Result<Bytes> {
        let metainfo = ctx.outgoing_metainfo(self.shared.propagation);
        let deadline = self.deadline(ctx.deadline());
        let mut call = self.outgoing(ctx, method, &options, metainfo.as_deref());
        (call.deadline, call.wire_deadline) = (deadline, deadline);
        let UnaryResponse { metadata, trailer, backward, result } =
            self.raw.call(UnaryRequest::new(call, &args)).await?;
        ctx.receive_response(metadata, trailer, backward);
        result
    }

    pub(super) async fn open_now(
        &self,
        ctx: &Context,
        method: &Method,
        options: CallOptions,
    ) -> Result<RawStream> {
        let metainfo = ctx.outgoing_metainfo(self.shared.propagation);
        let mut call = self.outgoing(ctx, method, &options, metainfo.as_deref());
        call.deadline = self.deadline(ctx.enforced_deadline());
        call.wire_deadline = self.deadline(ctx.deadline());
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
        let mut call = OutgoingCall::new(method, &self.shared.service, self.caller(ctx));
        call.caller_method = ctx.method().map_or("", Method::name);
        (call.metainfo, call.extensions) = (metainfo, ctx.extensions());
        (call.headers, call.scope) = (&options.headers, ctx.scope());
        (call.recv_timeout, call.send_timeout) = (options.recv_timeout, options.send_timeout);
        call.address = options.address.as_deref();
        call.tag = options.tag.as_ref().map(|(key, value)| (&**key, &**value));
        call.idempotent = options.idempotent;
        call
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
