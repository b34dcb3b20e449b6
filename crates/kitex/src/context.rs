//! What a call is made under, as in Go: who may cancel it, by when it must be done, what travels along.
//! Explicit, since a cancel must follow the code that caused the work, not the task that does it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stream_core::Metadata;
use stream_core::cancel::{Reason, Scope};
use stream_core::handler::TaskTracker;
use stream_core::io::Address;
use stream_core::{Metainfo, Pair, clock};

use crate::Method;
use crate::metainfo::{ContextMetainfo, Propagation};

/// What a call is made under. Cheap to clone; a clone is the same context, and what is made from it with
/// `with_*` is a child: canceled when it is.
///
/// One pointer wide, since it stands in the future of every handler; the background has nothing behind it.
#[derive(Clone, Debug, Default)]
pub struct Context(Option<Arc<Inner>>);

#[derive(Clone, Debug, Default)]
struct Inner {
    scope: Option<Scope>,
    /// Boxed, since most contexts have none.
    deadlines: Option<Box<Deadlines>>,
    metainfo: Option<Arc<ContextMetainfo>>,
    request: Option<Arc<Request>>,
    /// What answers have sent back.
    backward: Option<Arc<Mutex<Metadata>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Deadlines {
    /// Set here.
    own: Option<Instant>,
    /// What the caller said it has.
    callers: Option<Instant>,
}

/// What a handler's context knows of its call.
#[derive(Debug)]
pub(crate) struct Request {
    /// The handler's own service: the name that a cancel adds to its path.
    pub(crate) service: Arc<str>,
    pub(crate) method: Arc<Method>,
    pub(crate) metadata: Metadata,
    pub(crate) peer: Address,
    /// Tracks what the handler leaves behind, for the shutdown of its server.
    tasks: Option<TaskTracker>,
    ending: Mutex<Option<Box<Ending>>>,
}

/// What the handler has set for the end of its call.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// The trailer of a stream, the header of a ping-pong call's response.
    pub(crate) trailer: Metadata,
    /// Metainfo that is sent back.
    pub(crate) backward: Metadata,
}

impl Ending {
    pub(crate) fn backward_pairs(&self) -> Vec<Pair> {
        self.backward.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Request {
    pub(crate) fn new(
        service: Arc<str>,
        method: Arc<Method>,
        metadata: Metadata,
        peer: Address,
        tasks: Option<TaskTracker>,
    ) -> Arc<Self> {
        Arc::new(Self { service, method, metadata, peer, tasks, ending: Mutex::default() })
    }

    pub(crate) fn set_trailer(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        lock(&self.ending).get_or_insert_default().trailer.insert(key, value);
    }

    pub(crate) fn take_ending(&self) -> Ending {
        lock(&self.ending).take().map(|ending| *ending).unwrap_or_default()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// The context of work that nobody asked for: never canceled, without a deadline.
    pub fn background() -> Self {
        Self(None)
    }

    pub(crate) fn of_request(
        scope: Scope,
        timeout: Option<Duration>,
        metainfo: Option<Metainfo>,
        request: Arc<Request>,
    ) -> Self {
        let callers = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        Self(Some(Arc::new(Inner {
            scope: Some(scope),
            deadlines: callers.map(|_| Box::new(Deadlines { own: None, callers })),
            metainfo: metainfo.map(|metainfo| Arc::new(ContextMetainfo::received(metainfo))),
            request: Some(request),
            ..Inner::default()
        })))
    }

    fn look<'a, T>(&'a self, look: impl FnOnce(&'a Inner) -> Option<T>) -> Option<T> {
        self.0.as_deref().and_then(look)
    }

    fn child(&self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = self.0.as_deref().cloned().unwrap_or_default();
        change(&mut inner);
        Self(Some(Arc::new(inner)))
    }

    /// A child that can be canceled. Dropping the [`Canceler`] cancels nothing.
    pub fn with_cancel(&self) -> (Self, Canceler) {
        let scope = self.scope().map_or_else(Scope::new, Scope::child);
        let canceler = Canceler { scope: scope.clone() };
        (self.child(|child| child.scope = Some(scope)), canceler)
    }

    /// A child that ends after `timeout`, or when this one does.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        match clock::now().checked_add(timeout) {
            Some(deadline) => self.with_deadline(deadline),
            None => self.clone(),
        }
    }

    /// A child that ends at `deadline`, or when this one does.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        self.child(|child| {
            let deadlines = child.deadlines.get_or_insert_default();
            deadlines.own = earlier(deadlines.own, Some(deadline));
        })
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
        self.child(|child| {
            child.scope = None;
            child.deadlines = None;
        })
    }

    /// Runs `task` beside the caller, under this context: it is dropped when the context ends, and then
    /// gives `None`. To let it run to its end, spawn it under [`detach`](Self::detach). The shutdown of a handler's
    /// server waits for it: see [`ServerBuilder::exit_wait`](crate::server::ServerBuilder::exit_wait).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        let ctx = self.clone();
        let token = self.request().and_then(|request| request.tasks.as_ref()).map(TaskTracker::token);
        tokio::spawn(async move {
            let _token = token;
            tokio::select! {
                biased;
                result = task => Some(result),
                _ = ctx.canceled() => None,
            }
        })
    }

    /// The value that travels one hop with `key`: set here, or received from the caller.
    pub fn transient(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.look(|inner| inner.metainfo.as_ref()?.transient(key.as_ref()))
    }

    /// The value that travels the whole chain with `key`.
    pub fn persistent(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.look(|inner| inner.metainfo.as_ref()?.persistent(key.as_ref()))
    }

    /// When it ends by itself: set here, or said by the caller.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines().and_then(|deadlines| earlier(deadlines.own, deadlines.callers))
    }

    /// When this end acts on it. The caller's own cancel comes first, if it comes, since it can say who
    /// and along which path.
    pub(crate) fn enforced_deadline(&self) -> Option<Instant> {
        let Deadlines { own, callers } = *self.deadlines()?;
        earlier(own, callers.and_then(|deadline| deadline.checked_add(CALLERS_GRACE)))
    }

    fn deadlines(&self) -> Option<&Deadlines> {
        self.look(|inner| inner.deadlines.as_deref())
    }

    /// Why it has ended, if it has.
    pub fn reason(&self) -> Option<Reason> {
        let canceled = self.scope().and_then(Scope::reason);
        let late = || self.enforced_deadline().filter(|deadline| *deadline <= clock::now());
        canceled.or_else(|| late().map(|_| Reason::DeadlineExceeded))
    }

    /// Waits until it ends, and says why: for a handler, who canceled its stream and along which path.
    /// Cancel-safe.
    pub async fn canceled(&self) -> Reason {
        match self.enforced_deadline() {
            // Boxed: a timer is large, and this future is part of many handlers.
            Some(deadline) => Box::pin(self.canceled_or_late(deadline)).await,
            None => self.scope_canceled().await,
        }
    }

    async fn canceled_or_late(&self, deadline: Instant) -> Reason {
        tokio::select! {
            biased;
            reason = self.scope_canceled() => reason,
            () = tokio::time::sleep_until(deadline.into()) => Reason::DeadlineExceeded,
        }
    }

    async fn scope_canceled(&self) -> Reason {
        match self.scope() {
            Some(scope) => scope.canceled().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for `work`, no longer than until the context ends. As cancel-safe as `work` is, which is dropped when the
    /// context ends.
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
        if let Some(request) = self.request() {
            let key = Bytes::copy_from_slice(key.as_ref());
            lock(&request.ending).get_or_insert_default().backward.insert(key, value);
        }
    }

    /// A child that keeps what the answers to its ping-pong calls send back. (A stream's stands in its
    /// trailer.)
    #[must_use]
    pub fn with_backward(&self) -> Self {
        self.child(|child| child.backward = Some(Arc::default()))
    }

    /// The value that was sent back last with `key`; see [`with_backward`](Self::with_backward).
    pub fn backward(&self, key: impl AsRef<[u8]>) -> Option<Bytes> {
        self.look(|inner| lock(inner.backward.as_ref()?).get(key).cloned())
    }

    pub(crate) fn receive_backward(&self, sent: Vec<Pair>) {
        if let Some(backward) = self.look(|inner| inner.backward.as_ref()) {
            lock(backward).extend(sent);
        }
    }

    /// A handler's: its own service's name.
    pub fn service(&self) -> Option<&str> {
        self.request().map(|request| &*request.service)
    }

    /// A handler's: the method that is called.
    pub fn method(&self) -> Option<&Method> {
        self.request().map(|request| &*request.method)
    }

    /// A handler's: the strings that the call came with, as they stood on the wire.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.request().map(|request| &request.metadata)
    }

    /// A handler's: the address of the caller.
    pub fn peer(&self) -> Option<&Address> {
        self.request().map(|request| &request.peer)
    }

    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.look(|inner| inner.scope.as_ref())
    }

    fn request(&self) -> Option<&Request> {
        self.look(|inner| inner.request.as_deref())
    }

    pub(crate) fn service_name(&self) -> Option<&Arc<str>> {
        self.request().map(|request| &request.service)
    }

    /// Returns the metainfo that a call under this context takes on.
    pub(crate) fn outgoing_metainfo(&self, propagation: Propagation) -> Option<Cow<'_, Metainfo>> {
        self.look(|inner| inner.metainfo.as_ref()).map(|metainfo| metainfo.outgoing(propagation))
    }

    fn with_metainfo(&self, change: impl FnOnce(&mut ContextMetainfo)) -> Self {
        self.child(|child| change(Arc::make_mut(child.metainfo.get_or_insert_default())))
    }
}

/// How long a caller's deadline is left to the caller.
const CALLERS_GRACE: Duration = Duration::from_millis(100);

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
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
