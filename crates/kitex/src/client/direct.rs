//! Calls without any layer: what a call takes from its context and its client, and hands down to the transport.

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

/// Calls without any layer.
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
        let call = self.outgoing(ctx, method, &options, metainfo.as_deref());
        let call = OutgoingCall { deadline, wire_deadline: deadline, ..call };
        let UnaryResponse { backward, result, .. } =
            self.raw.call(UnaryRequest { call, body: &args }).await?;
        ctx.receive_backward(backward);
        result
    }

    pub(super) async fn open_now(
        &self,
        ctx: &Context,
        method: &Method,
        options: CallOptions,
    ) -> Result<RawStream> {
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
