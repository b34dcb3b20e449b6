//! The server interface for transports, independent of the handler's type.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use kerrors::{ApplicationException, Error};
use tokio::sync::watch;

use super::admission::{Admission, Admitter, Kind, ServerStats};
use super::failure::sealed;
use super::policy::guard;
use super::run::{serve_queued, serve_stream};
use super::serving::{Phase, ServerConfig, ServerInner};
use super::{Handler, Routed};
use crate::call::{CallKind, HandlerError, UnaryCall, UnaryResponse};
use crate::guard::{guarded, guarded_future, panic_text};
use crate::observe::HandlerFate;
use crate::overload::Overload;
use crate::stream::NewStream;
use crate::{Extensions, Method};

/// A handle to a server, for the transport that serves one of its connections. Clones are the same server and connection.
#[derive(Clone)]
pub struct ServerHandle {
    host: Arc<dyn Host>,
    /// Shared by the clones: those of one connection.
    admitter: Arc<Admitter>,
    /// What is known of the connection; each of its calls begins with it.
    connection: Extensions,
}

type Response = Pin<Box<dyn Future<Output = UnaryResponse<HandlerError>> + Send>>;

trait Host: Send + Sync {
    fn config(&self) -> &ServerConfig;
    fn phase(&self) -> &watch::Sender<Phase>;
    fn method(&self, service: &str, method: &str) -> Option<&Method>;
    fn serve_stream(self: Arc<Self>, stream: NewStream, connection: Extensions, admission: Option<Admission>);
    fn serve_unary(self: Arc<Self>, call: UnaryCall, admission: Admission) -> Response;
}

impl ServerHandle {
    pub(crate) fn new<H: Handler>(serving: Arc<ServerInner<H>>) -> Self {
        let admitter = Admitter::new(&serving.admissions);
        Self { host: serving, admitter, connection: Extensions::default() }
    }

    /// Sets what is known of the connection, for the handlers of its calls.
    pub(crate) fn with_connection(self, connection: Extensions) -> Self {
        Self { connection, ..self }
    }

    /// Returns the server's configuration.
    pub fn config(&self) -> &ServerConfig {
        self.host.config()
    }

    /// Returns the method that a call is for; `None` if the server has no such method.
    pub fn method(&self, service: &str, method: &str) -> Option<&Method> {
        self.host.method(service, method)
    }

    /// Returns the right to run a handler, which it has until it returns: at once, or after it has waited in the queue of
    /// [`ServerConfig::max_queued`].
    ///
    /// # Errors
    /// A limit was reached: the stream or call is to be refused with [`Code::TOO_MANY_STREAMS`](kerrors::Code::TOO_MANY_STREAMS)
    /// and the text of the error.
    pub fn admit(&self) -> Result<Admission, Overload> {
        self.admitter.admit()
    }

    /// Returns how many handlers are running, how many streams and calls wait for one, and how many were refused.
    pub fn stats(&self) -> ServerStats {
        self.admitter.stats()
    }

    /// Spawns the handler of a stream that the peer has opened, on a task of its own. It does not count in
    /// [`ServerConfig::max_handlers`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve_stream(&self, stream: NewStream) {
        self.host.clone().serve_stream(stream, self.connection.clone(), None);
    }

    /// As [`serve_stream`](Self::serve_stream), for a stream that was [admitted](Self::admit). If it waits for a handler, its
    /// cancel or deadline ends it without one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve_admitted(&self, stream: NewStream, admission: Admission) {
        self.host.clone().serve_stream(stream, self.connection.clone(), Some(admission));
    }

    /// Runs the handler of a ping-pong call, if it is [admitted](Self::admit). The response also reports a panic of the
    /// handler, its end after a cancel of the call's scope, and [`HandlerError::Overloaded`].
    pub fn serve_unary(
        &self,
        call: UnaryCall,
    ) -> impl Future<Output = UnaryResponse<HandlerError>> + Send + 'static + use<> {
        match self.admit() {
            Ok(admission) => self.serve_boxed(call, admission),
            Err(overload) => Box::pin(ready(UnaryResponse::failed(HandlerError::Overloaded(overload)))),
        }
    }

    /// As [`serve_unary`](Self::serve_unary), for a call that was admitted.
    pub fn serve_unary_admitted(
        &self,
        call: UnaryCall,
        admission: Admission,
    ) -> impl Future<Output = UnaryResponse<HandlerError>> + Send + 'static + use<> {
        self.serve_boxed(call, admission)
    }

    fn serve_boxed(&self, mut call: UnaryCall, admission: Admission) -> Response {
        if !self.connection.is_empty() {
            call.head.extensions = self.connection.clone();
        }
        self.host.clone().serve_unary(call, admission)
    }

    /// Waits for the handover: protocols that can do so ask clients to open nothing new on their connections.
    pub async fn handing_over(&self) {
        self.reached(|phase| phase != Phase::Serving).await;
    }

    /// Returns whether the server is to be left.
    pub fn is_handing_over(&self) -> bool {
        *self.host.phase().borrow() != Phase::Serving
    }

    /// Waits until graceful shutdown begins: from then on the server starts no new streams or calls.
    pub async fn draining(&self) {
        self.reached(|phase| matches!(phase, Phase::Draining | Phase::Closing)).await;
    }

    /// Waits until the exit wait of graceful shutdown is over: running streams and calls are to be canceled.
    pub async fn closing(&self) {
        self.reached(|phase| phase == Phase::Closing).await;
    }

    async fn reached(&self, reached: impl Fn(Phase) -> bool) {
        // The sender lives as long as the server, so this never fails.
        let _ = self.host.phase().subscribe().wait_for(|phase| reached(*phase)).await;
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("service", &self.config().service).finish_non_exhaustive()
    }
}

impl<H: Handler> Host for ServerInner<H> {
    fn config(&self) -> &ServerConfig {
        &self.config
    }

    fn phase(&self) -> &watch::Sender<Phase> {
        &self.phase
    }

    fn method(&self, service: &str, method: &str) -> Option<&Method> {
        self.handler.method(service, method)
    }

    fn serve_stream(
        self: Arc<Self>,
        stream: NewStream,
        connection: Extensions,
        admission: Option<Admission>,
    ) {
        let permit = match admission.map(|admission| admission.0) {
            None => None,
            Some(Kind::Now(permit)) => Some(permit),
            Some(Kind::Queued(place)) => {
                tokio::spawn(serve_queued(self, stream, connection, place));
                return;
            }
        };
        tokio::spawn(serve_stream(self, stream, connection, permit));
    }

    fn serve_unary(self: Arc<Self>, mut call: UnaryCall, admission: Admission) -> Response {
        Box::pin(async move {
            let (observed, started) = self.observe(&mut call.head, CallKind::PingPong);
            let Some(observed) = observed.filter(|observed| observed.is_observed()) else {
                let (response, name, _) = self.respond(call, started, admission).await;
                return without_user_code(response, &name);
            };
            let scope = call.scope.clone();
            observed.connected(None, &call.local, &call.head.peer);
            observed.received(call.body.len());
            let (response, name, handler) = self.respond(call, started, admission).await;
            let canceled = scope.reason().map(Error::from);
            let failed = response.result.as_ref().err().cloned().map(Error::from);
            response.result.iter().for_each(|body| observed.sent(body.len()));
            // What ended the call before its handler counts more than what the handler made of it.
            observed.finish_after(canceled.or(failed).as_ref(), handler);
            without_user_code(response, &name)
        })
    }
}

fn without_user_code(response: UnaryResponse<HandlerError>, call: &str) -> UnaryResponse<HandlerError> {
    let result = response.result.map_err(|error| sealed(error, call));
    UnaryResponse { result, ..response }
}

impl<H: Handler> ServerInner<H> {
    /// Runs the handler of a ping-pong call, if observers have let it start, and once its turn has come. Returns its response,
    /// the name of the call, and how the handler ended, if it has run.
    async fn respond(
        &self,
        call: UnaryCall,
        started: Result<(), String>,
        admission: Admission,
    ) -> (UnaryResponse<HandlerError>, String, Option<HandlerFate>) {
        let (scope, name) = (call.scope.clone(), call.head.call_name());
        // Held until the handler has returned.
        let _permit = match admission.permit(&scope, call.head.timeout).await {
            Ok(permit) => permit,
            Err(unserved) => return (UnaryResponse::failed(unserved.into()), name, None),
        };
        let panicked = |text: &str| UnaryResponse::refused(ApplicationException::panicked(&name, text));
        let routed = started.and_then(|()| guarded(|| self.handler.clone().unary(call)));
        let (response, fate) = match routed {
            Ok(Ok(Routed { handler, on_cancel })) => {
                let handler = guard(handler, &scope, self.policy(on_cancel));
                // A panic when it is dropped is no reason to lose its response.
                match guarded_future(Box::pin(handler)).await {
                    Ok(Ok(Ok(response))) => (response, Some(HandlerFate::Returned)),
                    Ok(Ok(Err(panic))) => (panicked(&panic_text(panic)), Some(HandlerFate::Returned)),
                    Ok(Err(reason)) => {
                        let refused = UnaryResponse::refused(ApplicationException::failed(&reason));
                        (refused, Some(HandlerFate::Dropped))
                    }
                    Err(text) => (panicked(&text), Some(HandlerFate::Returned)),
                }
            }
            Ok(Err(refused)) => (UnaryResponse::refused(refused), None),
            Err(text) => (panicked(&text), None),
        };
        (response, name, fate)
    }
}
