//! What a call is made under, as in Go: who may cancel it, by when it must be done, what travels along.
//! Explicit, since a cancel must follow the code that caused the work, not the task that does it.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stream_core::Metadata;
use stream_core::cancel::{Reason, Scope};
use ttheader_codec::key::BACKWARD_PREFIX;

use crate::metainfo::{Metainfo, Propagation};

/// What a call is made under. Cheap to clone; a clone is the same context, and what is made from it with
/// `with_*` is a child: canceled when it is.
#[derive(Clone, Debug)]
pub struct Context {
    scope: Option<Scope>,
    /// Set here.
    deadline: Option<Instant>,
    /// What the caller said it has.
    callers_deadline: Option<Instant>,
    metainfo: Arc<Metainfo>,
    request: Option<Arc<Request>>,
    /// What answers have sent back.
    backward: Option<Arc<Mutex<Metadata>>>,
}

/// What a handler's context knows of its call.
#[derive(Debug)]
pub(crate) struct Request {
    /// The handler's own service: the name that a cancel puts on its path.
    pub(crate) service: Arc<str>,
    pub(crate) method: &'static crate::Method,
    pub(crate) metadata: Metadata,
    pub(crate) peer: SocketAddr,
    /// What the answer will send back.
    pub(crate) backward: Mutex<Metadata>,
}

fn lock(metadata: &Mutex<Metadata>) -> MutexGuard<'_, Metadata> {
    metadata.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// The context of work that nobody asked for: never canceled, without a deadline.
    pub fn background() -> Self {
        Self {
            scope: None,
            deadline: None,
            callers_deadline: None,
            metainfo: Arc::default(),
            request: None,
            backward: None,
        }
    }

    pub(crate) fn of_request(scope: Scope, timeout: Option<Duration>, request: Request) -> Self {
        let metainfo = Arc::new(Metainfo::received(&request.metadata));
        let callers_deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self {
            scope: Some(scope),
            deadline: None,
            callers_deadline,
            metainfo,
            request: Some(Arc::new(request)),
            backward: None,
        }
    }

    /// A child that can be canceled. Dropping the [`Canceler`] cancels nothing.
    pub fn with_cancel(&self) -> (Self, Canceler) {
        let scope = self.scope.as_ref().map_or_else(Scope::new, Scope::child);
        let canceler = Canceler { scope: scope.clone() };
        (Self { scope: Some(scope), ..self.clone() }, canceler)
    }

    /// A child that ends after `timeout`, or when this one does.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.with_deadline(deadline),
            None => self.clone(),
        }
    }

    /// A child that ends at `deadline`, or when this one does.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        let deadline = self.deadline.map_or(deadline, |own| own.min(deadline));
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// A child whose calls take `key` along for one hop.
    #[must_use]
    pub fn with_transient(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.with_metainfo(|metainfo| metainfo.set_transient(key.into(), value.into()))
    }

    /// A child whose calls take `key` along the whole chain.
    #[must_use]
    pub fn with_persistent(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.with_metainfo(|metainfo| metainfo.set_persistent(key.into(), value.into()))
    }

    /// The same metainfo and names, but nobody cancels it and it has no deadline: for work that must be done
    /// though its caller has gone away, such as saving what was made for it.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { scope: None, deadline: None, callers_deadline: None, ..self.clone() }
    }

    /// Runs `task` beside the caller, under this context: it is dropped when the context ends, and then
    /// gives `None`. To let it run to its end, spawn it under [`detach`](Self::detach).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        let ctx = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                result = task => Some(result),
                _ = ctx.canceled() => None,
            }
        })
    }

    /// The value that travels one hop with `key`: set here, or received from the caller.
    pub fn transient(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.metainfo.transient(key.as_ref())
    }

    /// The value that travels the whole chain with `key`.
    pub fn persistent(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.metainfo.persistent(key.as_ref())
    }

    /// When it ends by itself: set here, or said by the caller.
    pub fn deadline(&self) -> Option<Instant> {
        earlier(self.deadline, self.callers_deadline)
    }

    /// When this end acts on it. The caller's own cancel comes first, if it comes, since it can say who
    /// and along which path.
    pub(crate) fn enforced_deadline(&self) -> Option<Instant> {
        let callers = self.callers_deadline.and_then(|deadline| deadline.checked_add(CALLERS_GRACE));
        earlier(self.deadline, callers)
    }

    /// Why it has ended, if it has.
    pub fn reason(&self) -> Option<Reason> {
        let canceled = self.scope.as_ref().and_then(Scope::reason);
        let late = || self.enforced_deadline().filter(|deadline| *deadline <= Instant::now());
        canceled.or_else(|| late().map(|_| Reason::DeadlineExceeded))
    }

    /// Waits until it ends, and says why: for a handler, who canceled its stream and along which path.
    /// Cancel-safe.
    pub async fn canceled(&self) -> Reason {
        let canceled = async {
            match &self.scope {
                Some(scope) => scope.canceled().await,
                None => std::future::pending().await,
            }
        };
        let Some(deadline) = self.enforced_deadline() else { return canceled.await };
        tokio::select! {
            biased;
            reason = canceled => reason,
            () = tokio::time::sleep_until(deadline.into()) => Reason::DeadlineExceeded,
        }
    }

    /// Waits for `work`, no longer than until the context ends.
    ///
    /// # Errors
    /// Why the context has ended: for a handler, what it may well return.
    pub async fn until_canceled<T>(&self, work: impl Future<Output = T>) -> crate::Result<T> {
        tokio::select! {
            biased;
            reason = self.canceled() => Err(reason.into()),
            result = work => Ok(result),
        }
    }

    /// A handler's: sends `key` back with the answer to a ping-pong call, or with a stream's trailer, for
    /// the caller's [`backward`](Self::backward).
    pub fn send_backward(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) {
        if let Some(request) = &self.request {
            lock(&request.backward).insert([BACKWARD_PREFIX, key.as_ref()].concat(), value);
        }
    }

    /// A child that keeps what the answers to its ping-pong calls send back. (A stream's stands in its
    /// trailer.)
    #[must_use]
    pub fn with_backward(&self) -> Self {
        Self { backward: Some(Arc::default()), ..self.clone() }
    }

    /// The value that was sent back last with `key`; see [`with_backward`](Self::with_backward).
    pub fn backward(&self, key: impl AsRef<[u8]>) -> Option<Bytes> {
        let key = [BACKWARD_PREFIX, key.as_ref()].concat();
        self.backward.as_ref().and_then(|backward| lock(backward).get(key).cloned())
    }

    pub(crate) fn receive_backward(&self, strings: &Metadata) {
        let Some(backward) = &self.backward else { return };
        let sent = strings.iter().filter(|(key, _)| key.starts_with(BACKWARD_PREFIX));
        lock(backward).extend(sent.map(|(key, value)| (key.clone(), value.clone())));
    }

    /// What the handler wants to be sent back.
    pub(crate) fn take_backward(&self) -> Metadata {
        self.request.as_ref().map(|request| std::mem::take(&mut *lock(&request.backward))).unwrap_or_default()
    }

    /// A handler's: its own service's name.
    pub fn service(&self) -> Option<&str> {
        self.request.as_ref().map(|request| &*request.service)
    }

    /// A handler's: the method that is called.
    pub fn method(&self) -> Option<&'static crate::Method> {
        self.request.as_ref().map(|request| request.method)
    }

    /// A handler's: the strings that the call came with, as they stood on the wire.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.request.as_ref().map(|request| &request.metadata)
    }

    /// A handler's: the address of the caller.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.request.as_ref().map(|request| request.peer)
    }

    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    pub(crate) fn service_name(&self) -> Option<&Arc<str>> {
        self.request.as_ref().map(|request| &request.service)
    }

    /// The strings that a call of `method` under this context starts with.
    pub(crate) fn strings(
        &self,
        method: &crate::Method,
        propagation: Propagation,
        headers: Metadata,
    ) -> Metadata {
        let mut strings = headers;
        strings.insert(ttheader_codec::key::IDL_SERVICE, method.service.as_bytes());
        self.metainfo.put(&mut strings, propagation);
        strings
    }

    fn with_metainfo(&self, change: impl FnOnce(&mut Metainfo)) -> Self {
        let mut child = self.clone();
        change(Arc::make_mut(&mut child.metainfo));
        child
    }
}

/// How long a caller's deadline is left to the caller.
const CALLERS_GRACE: Duration = Duration::from_millis(100);

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

impl Default for Context {
    fn default() -> Self {
        Self::background()
    }
}

/// Cancels a context and everything that was opened under it. Clones cancel the same.
#[derive(Clone, Debug)]
#[must_use = "a context that nobody can cancel needs no canceler"]
pub struct Canceler {
    scope: Scope,
}

impl Canceler {
    /// Cancels: every stream opened under the context ends with 12007, here and at its peer.
    pub fn cancel(&self) {
        self.scope.cancel(&Reason::Canceled);
    }

    /// Cancels, and says why: the streams end with 12008 and the cause's text, here and at their peers.
    pub fn cancel_with_cause(&self, cause: impl Into<Box<dyn StdError + Send + Sync>>) {
        self.scope.cancel(&Reason::Cause(cause.into().into()));
    }

    /// Cancels for something that is no TTHeader stream, a gRPC call for one: the streams end with 12011.
    pub fn cancel_foreign(&self, cause: impl Into<Box<dyn StdError + Send + Sync>>) {
        self.scope.cancel(&Reason::Foreign(cause.into().into()));
    }
}
