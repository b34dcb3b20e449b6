//! A server as a transport sees it, whatever its handler's type.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kerrors::ApplicationException;
use tokio::sync::watch;

use super::policy::guard;
use super::run::serve_stream;
use super::serving::{Phase, ServerConfig, Serving};
use super::{Handler, Routed};
use crate::Method;
use crate::call::{HandlerError, UnaryCall, UnaryResponse};
use crate::guard::{guarded, guarded_future, panic_text};
use crate::stream::NewStream;

/// A server, for the transport that serves one of its connections. Clones are the same server.
#[derive(Clone)]
pub struct ServerHandle(Arc<dyn Host>);

type Response = Pin<Box<dyn Future<Output = UnaryResponse<HandlerError>> + Send>>;

trait Host: Send + Sync {
    fn config(&self) -> &ServerConfig;
    fn phase(&self) -> &watch::Sender<Phase>;
    fn method(&self, service: &str, method: &str) -> Option<&Method>;
    fn serve_stream(self: Arc<Self>, stream: NewStream);
    fn serve_unary(self: Arc<Self>, call: UnaryCall) -> Response;
}

impl ServerHandle {
    pub(crate) fn new<H: Handler>(serving: Arc<Serving<H>>) -> Self {
        Self(serving)
    }

    /// Returns the server's configuration.
    pub fn config(&self) -> &ServerConfig {
        self.0.config()
    }

    /// Returns the method that a call is for; `None` if the server has no such method.
    pub fn method(&self, service: &str, method: &str) -> Option<&Method> {
        self.0.method(service, method)
    }

    /// Runs the handler of a stream that the peer has opened, on a task of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn serve_stream(&self, stream: NewStream) {
        self.0.clone().serve_stream(stream);
    }

    /// Runs the handler of a ping-pong call. A panic of the handler, and its end after a cancel of the
    /// call's scope, are in the response.
    pub fn serve_unary(
        &self,
        call: UnaryCall,
    ) -> impl Future<Output = UnaryResponse<HandlerError>> + Send + 'static + use<> {
        self.0.clone().serve_unary(call)
    }

    /// Waits until the server begins nothing new.
    pub async fn draining(&self) {
        self.reached(|phase| phase != Phase::Serving).await;
    }

    /// Waits until the server's exit wait is over: what still runs is to be canceled.
    pub async fn closing(&self) {
        self.reached(|phase| phase == Phase::Closing).await;
    }

    async fn reached(&self, reached: impl Fn(Phase) -> bool) {
        // The sender lives as long as the server does, so this never fails.
        let _ = self.0.phase().subscribe().wait_for(|phase| reached(*phase)).await;
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("service", &self.config().service).finish_non_exhaustive()
    }
}

impl<H: Handler> Host for Serving<H> {
    fn config(&self) -> &ServerConfig {
        &self.config
    }

    fn phase(&self) -> &watch::Sender<Phase> {
        &self.phase
    }

    fn method(&self, service: &str, method: &str) -> Option<&Method> {
        self.handler.method(service, method)
    }

    fn serve_stream(self: Arc<Self>, stream: NewStream) {
        tokio::spawn(serve_stream(self, stream));
    }

    fn serve_unary(self: Arc<Self>, call: UnaryCall) -> Response {
        Box::pin(async move {
            let (scope, name) = (call.scope.clone(), call.head.call_name());
            let panicked = |text: &str| UnaryResponse::refused(ApplicationException::panicked(&name, text));
            let (handler, policy) = match guarded(|| self.handler.clone().unary(call)) {
                Ok(Ok(Routed { handler, on_cancel })) => (handler, self.policy(on_cancel)),
                Ok(Err(refused)) => return UnaryResponse::refused(refused),
                Err(text) => return panicked(&text),
            };
            // A panic when it is dropped is no reason to lose its response.
            match guarded_future(Box::pin(guard(handler, &scope, policy))).await {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(panic))) => panicked(&panic_text(panic)),
                Ok(Err(reason)) => UnaryResponse::refused(ApplicationException::failed(&reason)),
                Err(text) => panicked(&text),
            }
        })
    }
}
