//! What a server runs: the contract of handlers, what becomes of them on a cancel, and the run of one stream's
//! handler. Independent of transports and of listeners.

mod handle;
mod policy;
mod run;
mod serving;
mod tasks;

use std::future::Future;
use std::sync::Arc;

use kerrors::ApplicationException;

pub use handle::ServerHandle;
pub use policy::OnCancel;
pub use serving::ServerConfig;
pub(crate) use serving::{Phase, Serving};
pub use tasks::{TaskToken, TaskTracker};

use crate::Method;
use crate::call::{CallHead, HandlerError, StreamEnd, UnaryCall, UnaryResponse};
use crate::cancel::Scope;
use crate::stream::{RecvStream, SendStream};

/// A stream that a peer has opened.
#[derive(Debug)]
pub struct IncomingStream {
    /// What the client opened the stream with.
    pub head: CallHead,
    /// Canceled when the stream ends under the handler, and when the handler has returned.
    pub scope: Scope,
    /// Sends responses.
    pub sender: SendStream,
    /// Receives requests.
    pub receiver: RecvStream,
}

/// Serves what peers ask for. Each call runs on a task of its own; a panic ends that call alone.
pub trait Handler: Send + Sync + 'static {
    /// Called once, before any call: `tasks` tracks work that handlers leave behind and that the server's shutdown is
    /// to wait for.
    fn set_tasks(&self, _tasks: TaskTracker) {}

    /// Returns the future that serves a stream to its end.
    ///
    /// # Errors
    /// No handler serves it.
    fn stream(
        self: Arc<Self>,
        stream: IncomingStream,
    ) -> Result<Routed<impl Future<Output = StreamEnd> + Send + 'static>, ApplicationException>;

    /// Returns the method that a call is for; `None` if there is no such method. Only protocols that do not say
    /// themselves whether a call is a stream need it.
    fn method(&self, _service: &str, _method: &str) -> Option<&Method> {
        None
    }

    /// Returns the future that serves a ping-pong call.
    ///
    /// # Errors
    /// No handler serves it.
    fn unary(
        self: Arc<Self>,
        call: UnaryCall,
    ) -> Result<
        Routed<impl Future<Output = UnaryResponse<HandlerError>> + Send + 'static>,
        ApplicationException,
    >;
}

/// A call and the handler that serves it.
#[derive(Debug)]
pub struct Routed<F> {
    /// Serves the call.
    pub handler: F,
    /// What becomes of the handler on a cancel. `None`: what the server's configuration says.
    pub on_cancel: Option<OnCancel>,
}
