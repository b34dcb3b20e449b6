//! What a stream keeps of the call that it was opened with, to be opened again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, RecvTimeout};

use super::retry::{RETRY_KEY, pause};
use crate::call::OutgoingCall;
use crate::cancel::Scope;
use crate::observe::Observed;
use crate::stream::{Reopen, StreamInner};
use crate::{BoxFuture, Metadata, Metainfo, Method, Retryable};

/// Opens streams, and knows which may be opened again.
pub(super) trait Attempts: Send + Sync + 'static {
    /// Returns whether a call that has failed and was tried again `attempt` times may be tried once more, and counts that.
    fn take(&self, call: &OutgoingCall<'_>, retryable: Retryable, attempt: u32) -> bool;

    /// The stream was refused by this instance, or lost: if the instance has no open connection any more, others are
    /// preferred for a while.
    fn refused_by(&self, instance: &Arc<str>);

    /// Opens a stream. Once there is one, it takes `observed`.
    fn open_attempt(
        &self,
        call: &OutgoingCall<'_>,
        attempt: Attempt,
        observed: &mut Option<Arc<Observed>>,
    ) -> impl Future<Output = Result<Arc<StreamInner>, Error>> + Send;
}

/// A call that may be made again.
pub(super) struct Reopening<A> {
    attempts: A,
    /// The observers of the call, which sees all its attempts as one.
    observed: Option<Arc<Observed>>,
    method: Method,
    callee: Arc<str>,
    caller: Arc<str>,
    caller_method: Box<str>,
    metainfo: Option<Metainfo>,
    headers: Metadata,
    scope: Option<Scope>,
    deadline: Option<Instant>,
    wire_deadline: Option<Instant>,
    recv_timeout: Option<RecvTimeout>,
    send_timeout: Option<Duration>,
    address: Option<Box<str>>,
    tag: Option<(Box<str>, Box<str>)>,
    idempotent: Option<bool>,
    /// How often it was made again.
    attempt: u32,
    /// The instance that it was made at last.
    instance: Arc<str>,
}

/// An attempt to open a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempt {
    /// How often the stream was refused before.
    pub(super) number: u32,
    /// The address of the instance that has refused it last.
    pub(super) refused_by: Option<Arc<str>>,
}

impl<A> Reopening<A> {
    pub(super) fn new(
        attempts: A,
        call: &OutgoingCall<'_>,
        attempt: u32,
        instance: &Arc<str>,
        observed: Option<&Arc<Observed>>,
    ) -> Self {
        Self {
            attempts,
            observed: observed.cloned(),
            caller_method: call.caller_method.into(),
            method: call.method.clone(),
            callee: call.callee.clone(),
            caller: call.caller.clone(),
            metainfo: call.metainfo.cloned(),
            headers: call.headers.clone(),
            scope: call.scope.cloned(),
            deadline: call.deadline,
            wire_deadline: call.wire_deadline,
            recv_timeout: call.recv_timeout,
            send_timeout: call.send_timeout,
            address: call.address.map(Box::from),
            tag: call.tag.map(|(key, value)| (key.into(), value.into())),
            idempotent: call.idempotent,
            attempt,
            instance: instance.clone(),
        }
    }

    fn call<'a>(&'a self, metainfo: Option<&'a Metainfo>) -> OutgoingCall<'a> {
        OutgoingCall {
            method: &self.method,
            callee: &self.callee,
            caller: &self.caller,
            caller_method: &self.caller_method,
            metainfo,
            // Observers have seen them at the start of the call.
            extensions: None,
            address: self.address.as_deref(),
            tag: self.tag.as_ref().map(|(key, value)| (&**key, &**value)),
            idempotent: self.idempotent,
            headers: &self.headers,
            scope: self.scope.as_ref(),
            deadline: self.deadline,
            wire_deadline: self.wire_deadline,
            recv_timeout: self.recv_timeout,
            send_timeout: self.send_timeout,
        }
    }
}

impl<A: Attempts> Reopen<Arc<StreamInner>> for Reopening<A> {
    fn is_permitted(&self, retryable: Retryable) -> bool {
        self.attempts.take(&self.call(self.metainfo.as_ref()), retryable, self.attempt)
    }

    fn reopen(self: Box<Self>) -> BoxFuture<'static, Result<Arc<StreamInner>, Error>> {
        Box::pin(async move {
            pause(self.attempt).await;
            self.attempts.refused_by(&self.instance);
            let number = self.attempt.saturating_add(1);
            let metainfo = marked(self.metainfo.as_ref(), number);
            let attempt = Attempt { number, refused_by: Some(self.instance.clone()) };
            let mut observed = self.observed.clone();
            self.attempts.open_attempt(&self.call(Some(&metainfo)), attempt, &mut observed).await
        })
    }
}

/// Returns the metainfo of a call that is made again for the `attempt`th time.
pub(super) fn marked(metainfo: Option<&Metainfo>, attempt: u32) -> Metainfo {
    let mut metainfo = metainfo.cloned().unwrap_or_default();
    metainfo.persistent.retain(|(key, _)| key != RETRY_KEY);
    metainfo.persistent.push((Bytes::from_static(RETRY_KEY), attempt.to_string().into()));
    metainfo
}
