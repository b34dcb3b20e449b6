//! The context of a call, as in Go: cancellation, deadline, metainfo. It is an explicit argument, since a cancel must
//! follow the code that caused the work, not the task that runs it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stream_core::Metadata;
use stream_core::cancel::{Reason, Scope};
use stream_core::guard::readable;
use stream_core::handler::TaskTracker;
use stream_core::io::Address;
use stream_core::{Extensions, Metainfo, Pair, clock};

use crate::Method;
use crate::metainfo::{ContextMetainfo, Propagation};

/// The context of a call: cancellation, deadline, metainfo. A clone is cheap and is the same context. The `with_*`
/// methods return a child, which is canceled when its parent is.
///
/// A handler gets a context and passes it to the calls that it makes; these end when the handler's stream does.
///
/// ```
/// use std::time::Duration;
/// use kitex::Context;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (ctx, canceler) = Context::background().with_cancel();
/// let child = ctx.with_timeout(Duration::from_secs(30)).with_persistent("user", "kim");
/// let detached = child.detach();
///
/// canceler.cancel();
/// assert!(child.canceled().await.to_string().contains("cancel"));
/// // A child keeps its metainfo; a detached one is not canceled and has no deadline.
/// assert_eq!(detached.persistent("user").map(|value| &value[..]), Some(&b"kim"[..]));
/// assert!(detached.reason().is_none() && detached.deadline().is_none());
/// # }
/// ```
// One pointer wide, since it is part of the future of every handler; the background context allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Context(Option<Arc<Inner>>);

#[derive(Clone, Debug, Default)]
struct Inner {
    scope: Option<Scope>,
    /// Boxed, since most contexts have none.
    deadlines: Option<Box<Deadlines>>,
    /// Metainfo and extensions.
    metainfo: Option<Arc<ContextMetainfo>>,
    request: Option<Arc<Request>>,
    /// Metadata of responses.
    responses: Option<Arc<Mutex<ResponseParts>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Deadlines {
    /// Set here.
    own: Option<Instant>,
    /// Sent by the caller.
    callers: Option<Instant>,
}

/// What the handlers of one server share.
#[derive(Debug)]
pub(crate) struct Host {
    /// The handlers' own service: the name that a cancel adds to its path.
    pub(crate) name: Arc<str>,
    /// Tracks tasks that handlers have spawned, for the graceful shutdown of their server.
    pub(crate) tasks: OnceLock<TaskTracker>,
}

/// The call that a handler's context belongs to.
#[derive(Debug)]
pub(crate) struct Request {
    host: Arc<Host>,
    pub(crate) method: Arc<Method>,
    pub(crate) metadata: Metadata,
    pub(crate) peer: Address,
    parts: Mutex<Option<Box<ResponseParts>>>,
}

/// Response metadata that a handler has set: the trailer and backward metainfo.
#[derive(Debug, Default)]
pub(crate) struct ResponseParts {
    /// The header of a ping-pong call's response.
    pub(crate) header: Metadata,
    /// The trailer.
    pub(crate) trailer: Metadata,
    /// Metainfo that is sent back.
    pub(crate) backward: Metadata,
}

impl ResponseParts {
    pub(crate) fn backward_pairs(&self) -> Vec<Pair> {
        self.backward.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Request {
    pub(crate) fn new(host: Arc<Host>, method: Arc<Method>, metadata: Metadata, peer: Address) -> Arc<Self> {
        Arc::new(Self { host, method, metadata, peer, parts: Mutex::default() })
    }

    pub(crate) fn set_trailer(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        lock(&self.parts).get_or_insert_default().trailer.insert(key, value);
    }

    pub(crate) fn take_parts(&self) -> ResponseParts {
        lock(&self.parts).take().map(|parts| *parts).unwrap_or_default()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    /// Returns the root context: never canceled, without a deadline.
    pub fn background() -> Self {
        Self(None)
    }

    pub(crate) fn of_request(
        scope: Scope,
        timeout: Option<Duration>,
        metainfo: Option<Arc<ContextMetainfo>>,
        request: Arc<Request>,
    ) -> Self {
        let callers = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        Self(Some(Arc::new(Inner {
            scope: Some(scope),
            deadlines: callers.map(|_| Box::new(Deadlines { own: None, callers })),
            metainfo,
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

    /// Returns a child that can be canceled. Dropping the [`Canceler`] does not cancel.
    pub fn with_cancel(&self) -> (Self, Canceler) {
        let scope = self.scope().map_or_else(Scope::new, Scope::child);
        let canceler = Canceler { scope: scope.clone() };
        (self.child(|child| child.scope = Some(scope)), canceler)
    }

    /// Returns a child that ends after `timeout`, or when this context does. Streams under it end with
    /// [`Code::STREAM_TIMEOUT`](crate::Code::STREAM_TIMEOUT).
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        match clock::now().checked_add(timeout) {
            Some(deadline) => self.with_deadline(deadline),
            None => self.clone(),
        }
    }

    /// Returns a child that ends at `deadline`, or when this context does. Streams under it end with
    /// [`Code::STREAM_TIMEOUT`](crate::Code::STREAM_TIMEOUT).
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        self.child(|child| {
            let deadlines = child.deadlines.get_or_insert_default();
            deadlines.own = earlier(deadlines.own, Some(deadline));
        })
    }

    /// Returns a child whose calls send the metainfo `key` for one hop.
    #[must_use]
    pub fn with_transient(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.with_metainfo(|metainfo| metainfo.set_transient(key.into(), value.into()))
    }

    /// Returns a child whose calls send the metainfo `key` along the whole chain.
    #[must_use]
    pub fn with_persistent(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.with_metainfo(|metainfo| metainfo.set_persistent(key.into(), value.into()))
    }

    /// Returns a context with the same metainfo and names that is never canceled and has no deadline: for work that must
    /// be completed even if its caller has canceled, such as saving a partial result.
    #[must_use]
    pub fn detach(&self) -> Self {
        self.child(|child| {
            child.scope = None;
            child.deadlines = None;
        })
    }

    /// Spawns `task` under this context. If the context ends first, the task is dropped and its handle returns `None`.
    /// To let it run to its end, spawn it under [`detach`](Self::detach). A graceful shutdown of the handler's server
    /// waits for it: see [`ServerBuilder::exit_wait`](crate::server::ServerBuilder::exit_wait).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        let ctx = self.clone();
        let token = self.request().and_then(|request| request.host.tasks.get()).map(TaskTracker::token);
        tokio::spawn(async move {
            let _token = token;
            tokio::select! {
                biased;
                result = task => Some(result),
                _ = ctx.canceled() => None,
            }
        })
    }

    /// Returns a child that holds `value`, in place of an earlier value of the same type: for what a layer or an observer
    /// leaves for handlers, and they for what they call. It stays in this process.
    #[must_use]
    pub fn with_extension<T: Send + Sync + 'static>(&self, value: T) -> Self {
        self.with_metainfo(|metainfo| metainfo.extensions.insert(value))
    }

    /// Returns the value of type `T`: set here, above, or by an observer of the handler's call.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.extensions()?.get()
    }

    pub(crate) fn extensions(&self) -> Option<&Extensions> {
        self.look(|inner| inner.metainfo.as_ref()).map(|metainfo| &metainfo.extensions)
    }

    /// Returns the transient metainfo (sent for one hop) of `key`: set here, or received from the caller.
    pub fn transient(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.look(|inner| inner.metainfo.as_ref()?.transient(key.as_ref()))
    }

    /// Returns the persistent metainfo (sent along the whole chain) of `key`.
    pub fn persistent(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.look(|inner| inner.metainfo.as_ref()?.persistent(key.as_ref()))
    }

    /// Returns the deadline: set here, or sent by the caller.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines().and_then(|deadlines| earlier(deadlines.own, deadlines.callers))
    }

    /// Returns when this end enforces the deadline: 100 ms after the caller's, whose own cancel has the cancel path.
    pub(crate) fn enforced_deadline(&self) -> Option<Instant> {
        let Deadlines { own, callers } = *self.deadlines()?;
        earlier(own, callers.and_then(|deadline| deadline.checked_add(CALLERS_GRACE)))
    }

    fn deadlines(&self) -> Option<&Deadlines> {
        self.look(|inner| inner.deadlines.as_deref())
    }

    /// Returns why the context has ended; `None` if it has not.
    pub fn reason(&self) -> Option<Reason> {
        let canceled = self.scope().and_then(Scope::reason);
        let late = || self.enforced_deadline().filter(|deadline| *deadline <= clock::now());
        canceled.or_else(|| late().map(|_| Reason::DeadlineExceeded))
    }

    /// Waits until the context ends, and returns the reason. For a handler the reason has the code and the path of the
    /// cancel of its stream. Cancel-safe.
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

    /// Waits for `work`, which is dropped if the context ends first. As cancel-safe as `work`.
    ///
    /// # Errors
    /// Returns the reason if the context ended; a handler may return this error.
    pub async fn until_canceled<T>(&self, work: impl Future<Output = T>) -> crate::Result<T> {
        tokio::select! {
            biased;
            reason = self.canceled() => Err(reason.into()),
            result = work => Ok(result),
        }
    }

    /// Sends `key` back to the caller, in the response of a ping-pong call or the trailer of a stream; the caller reads
    /// it with [`backward`](Self::backward). Does nothing outside of a handler.
    pub fn send_backward(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) {
        if let Some(request) = self.request() {
            let key = Bytes::copy_from_slice(key.as_ref());
            lock(&request.parts).get_or_insert_default().backward.insert(key, value);
        }
    }

    /// A handler's: adds to the header of the response to a ping-pong call. (A stream's is set on the stream.)
    pub fn set_header(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        if let Some(request) = self.request() {
            lock(&request.parts).get_or_insert_default().header.insert(key, value);
        }
    }

    /// A handler's: adds to the trailer, which leaves when the handler returns. A ping-pong call by TTHeader has none:
    /// there it is in the header.
    pub fn set_trailer(&self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        if let Some(request) = self.request() {
            request.set_trailer(key, value);
        }
    }

    /// Returns a child that keeps the backward metainfo, the header and the trailer of responses to its ping-pong calls.
    /// (Those of a stream are on the stream.)
    #[must_use]
    pub fn with_backward(&self) -> Self {
        self.child(|child| child.responses = Some(Arc::default()))
    }

    /// Returns the last backward metainfo of `key`; see [`with_backward`](Self::with_backward).
    pub fn backward(&self, key: impl AsRef<[u8]>) -> Option<Bytes> {
        self.look(|inner| lock(inner.responses.as_ref()?).backward.get(key).cloned())
    }

    /// Returns the header of the latest response; see [`with_backward`](Self::with_backward). Of a call that failed
    /// nothing is kept.
    pub fn response_header(&self) -> Option<Metadata> {
        self.look(|inner| Some(lock(inner.responses.as_ref()?).header.clone()))
    }

    /// Returns the trailer of the latest response, as [`response_header`](Self::response_header) does. Only gRPC has one.
    pub fn response_trailer(&self) -> Option<Metadata> {
        self.look(|inner| Some(lock(inner.responses.as_ref()?).trailer.clone()))
    }

    pub(crate) fn receive_response(&self, header: Metadata, trailer: Metadata, backward: Vec<Pair>) {
        if let Some(responses) = self.look(|inner| inner.responses.as_ref()) {
            let mut responses = lock(responses);
            responses.backward.extend(backward);
            (responses.header, responses.trailer) = (header, trailer);
        }
    }

    /// Returns the name of the handler's own service; `None` outside of a handler.
    pub fn service(&self) -> Option<&str> {
        self.request().map(|request| &*request.host.name)
    }

    /// Returns the method that was called; `None` outside of a handler.
    pub fn method(&self) -> Option<&Method> {
        self.request().map(|request| &*request.method)
    }

    /// Returns the strings of the call's header, as on the wire, without the service's name; `None` outside of a
    /// handler.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.request().map(|request| &request.metadata)
    }

    /// Returns the address of the caller; `None` outside of a handler.
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
        self.request().map(|request| &request.host.name)
    }

    /// Returns the metainfo that a call under this context sends.
    pub(crate) fn outgoing_metainfo(&self, propagation: Propagation) -> Option<Cow<'_, Metainfo>> {
        self.look(|inner| inner.metainfo.as_ref()).map(|metainfo| metainfo.outgoing(propagation))
    }

    fn with_metainfo(&self, change: impl FnOnce(&mut ContextMetainfo)) -> Self {
        self.child(|child| change(Arc::make_mut(child.metainfo.get_or_insert_default())))
    }
}

/// How long to wait for the caller's Rst after its deadline.
const CALLERS_GRACE: Duration = Duration::from_millis(100);

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Cancels a context and everything that was opened under it. Clones cancel the same context.
#[derive(Clone, Debug)]
#[must_use = "dropping the Canceler does not cancel; use `Context` alone if you never cancel"]
pub struct Canceler {
    scope: Scope,
}

impl Canceler {
    /// Cancels the context: every stream opened under it ends with [`Code::CANCELED`](crate::Code::CANCELED), here and at
    /// its peer.
    pub fn cancel(&self) {
        self.scope.cancel(&Reason::Canceled);
    }

    /// Cancels the context with a cause: the streams end with
    /// [`Code::CANCELED_WITH_CAUSE`](crate::Code::CANCELED_WITH_CAUSE) and the text of the cause, here and at their peers.
    pub fn cancel_with_cause(&self, cause: impl Into<Box<dyn StdError + Send + Sync>>) {
        self.scope.cancel(&Reason::Cause(readable(cause.into().into())));
    }

    /// Cancels the context for a cause outside of TTHeader Streaming, such as a gRPC call: the streams end with
    /// [`Code::INTERNAL_CANCELED`](crate::Code::INTERNAL_CANCELED).
    pub fn cancel_foreign(&self, cause: impl Into<Box<dyn StdError + Send + Sync>>) {
        self.scope.cancel(&Reason::Foreign(readable(cause.into().into())));
    }
}
