//! Handlers: their contract, the policy on a cancel, and how the handler of a stream is run. Independent of
//! transports and of listeners.

mod admission;
mod failure;
mod handle;
mod load;
mod policy;
mod rate;
mod run;
mod serving;
mod tasks;

use std::future::Future;
use std::sync::Arc;

use kerrors::ApplicationException;

pub use admission::{Admission, ServerStats};
pub use handle::ServerHandle;
pub use policy::OnCancel;
pub use serving::ServerConfig;
pub(crate) use serving::{Phase, ServerInner};
pub use tasks::{TaskToken, TaskTracker};

pub use crate::overload::Overload;

use crate::Method;
use crate::call::{CallHead, HandlerError, StreamEnd, UnaryCall, UnaryResponse};
use crate::cancel::Scope;
use crate::stream::{RecvStream, SendStream};

/// A stream that a peer has opened.
#[derive(Debug)]
pub struct IncomingStream {
    /// The head that the client opened the stream with.
    pub head: CallHead,
    /// Canceled when the stream ends before the handler, and when the handler returns.
    pub scope: Scope,
    /// Sends responses.
    pub sender: SendStream,
    /// Receives requests.
    pub receiver: RecvStream,
}

/// Serves the streams and calls of peers. Each runs on a task of its own; a panic ends that one only.
pub trait Handler: Send + Sync + 'static {
    /// Called once, before any stream or call: `tasks` tracks background work of handlers that graceful
    /// shutdown waits for.
    fn set_tasks(&self, _tasks: TaskTracker) {}

    /// Called once when the server is to shut down, before it refuses anything.
    fn draining(&self) {}

    /// Returns the future that serves a stream to its end.
    ///
    /// # Errors
    /// The exception to answer with if there is no handler for it.
    fn stream(
        self: Arc<Self>,
        stream: IncomingStream,
    ) -> Result<Routed<impl Future<Output = StreamEnd> + Send + 'static>, ApplicationException>;

    /// Returns the method that a call is for; `None` if there is no such method. Needed by protocols that do
    /// not mark whether a call is a stream.
    fn method(&self, _service: &str, _method: &str) -> Option<&Method> {
        None
    }

    /// Returns the future that serves a ping-pong call.
    ///
    /// # Errors
    /// The exception to answer with if there is no handler for it.
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
    /// The policy on a cancel. `None`: that of the server's configuration.
    pub on_cancel: Option<OnCancel>,
}
