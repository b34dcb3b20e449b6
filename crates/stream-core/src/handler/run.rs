//! Runs the handler of one stream: passes it the stream and its scope, drops it after a cancel as its policy
//! requires, and sends its result.
//!
//! Each open stream has one of these futures for its whole life. They are written by hand to be small.

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::CatchUnwind;
use kerrors::{ApplicationException, StreamError};
use pin_project::pin_project;
use tokio::sync::watch;

use super::admission::{HandlerPermit, Place, Unserved};
use super::failure::sealed;
use super::policy::{Guard, guard};
use super::serving::{Phase, ServerInner};
use super::{Handler, IncomingStream, Routed};
use crate::Extensions;
use crate::call::{CallKind, StreamEnd};
use crate::cancel::Scope;
use crate::guard::{guarded, panic_text, report};
use crate::observe::HandlerFate;
use crate::overload::Overload;
use crate::stream::{NewStream, Setup, StreamInner, handles};

/// Returns the future that serves `stream`, of a connection of which `connection` is known, to its end. It does nothing before the first poll: user code must
/// not run on the task that reads the connection.
pub(super) fn serve_stream<H: Handler>(
    serving: Arc<ServerInner<H>>,
    stream: NewStream,
    connection: Extensions,
    permit: Option<HandlerPermit>,
) -> impl Future<Output = ()> + Send {
    Lazy::New(Some(move || Begun::new(&serving, stream, connection)?.route(&serving, permit)))
}

/// As [`serve_stream`], once the stream's turn has come. It ends without a handler at its cancel or deadline, or if it has
/// waited too long.
pub(super) async fn serve_queued<H: Handler>(
    serving: Arc<ServerInner<H>>,
    stream: NewStream,
    connection: Extensions,
    place: Place,
) {
    let Some(begun) = Begun::new(&serving, stream, connection) else { return };
    // The transport knows the stream's deadline, and cancels its scope.
    match place.permit(&begun.scope, None).await {
        Ok(permit) => {
            let running = begun.route(&serving, Some(permit));
            if let Some(running) = running {
                running.await;
            }
        }
        Err(Unserved::Refused(overload)) => begun.ending.refuse(overload),
        Err(canceled) => {
            let end = StreamEnd { error: Some(canceled.into()), ..StreamEnd::default() };
            begun.ending.finish(end, None);
        }
    }
}

/// Creates a future in place when it is first polled.
#[pin_project(project = LazyProj)]
enum Lazy<M, F> {
    New(Option<M>),
    Made(#[pin] F),
}

impl<M: FnOnce() -> Option<F>, F: Future<Output = ()>> Future for Lazy<M, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let LazyProj::New(make) = self.as_mut().project() {
            let Some(future) = make.take().and_then(|make| make()) else { return Poll::Ready(()) };
            self.set(Self::Made(future));
        }
        match self.project() {
            LazyProj::Made(future) => future.poll(cx),
            LazyProj::New(_) => Poll::Ready(()),
        }
    }
}

/// A stream that its observers have seen, and no handler yet.
struct Begun {
    ending: FinishGuard,
    incoming: IncomingStream,
    scope: Scope,
    /// The text of an observer's panic at the start of the call.
    started: Result<(), String>,
}

impl Begun {
    /// Returns `None` if the stream has already ended.
    fn new<H: Handler>(
        serving: &Arc<ServerInner<H>>,
        stream: NewStream,
        connection: Extensions,
    ) -> Option<Self> {
        let scope = Scope::labeled(stream.transport().label());
        let mut head = stream.transport().begin(&scope)?;
        if !connection.is_empty() {
            head.extensions = connection;
        }
        let (observed, started) = serving.observe(&mut head, CallKind::Stream);
        let setup = Setup { send_timeout: serving.config.send_timeout, observed, ..Setup::default() };
        let stream = stream.start(setup);
        let (sender, receiver) = handles(&stream);
        let ending = FinishGuard { stream, scope: Cell::new(Some(scope.clone())) };
        let incoming = IncomingStream { head, scope: scope.clone(), sender, receiver };
        Some(Self { ending, incoming, scope, started })
    }

    /// Starts the handler. Returns `None` if there is none.
    fn route<H: Handler>(
        self,
        serving: &Arc<ServerInner<H>>,
        permit: Option<HandlerPermit>,
    ) -> Option<impl Future<Output = ()> + Send + use<H>> {
        let Self { incoming, scope, started, ending } = self;
        // User code runs here: the handler's and the observers'.
        let routed = started.and_then(|()| guarded(|| serving.handler.clone().stream(incoming)));
        match routed {
            Ok(Ok(Routed { handler, on_cancel })) => {
                let handler = guard(handler, &scope, serving.policy(on_cancel));
                let running = serving.phase.subscribe();
                return Some(HandlerTask { ending, handler: Some(handler), permit, running });
            }
            Ok(Err(refused)) => ending.finish(StreamEnd::refused(refused), None),
            Err(text) => ending.finish(ending.panicked(&text), None),
        }
        None
    }
}

/// A running handler, and the guard that ends its stream when it has returned.
#[pin_project]
struct HandlerTask<F> {
    ending: FinishGuard,
    /// `None` once it has returned: it is dropped before the end of its stream is reported.
    #[pin]
    handler: Option<Guard<CatchUnwind<AssertUnwindSafe<F>>>>,
    /// Returned before the end of the stream is reported: the client may open the next one then.
    permit: Option<HandlerPermit>,
    /// Graceful shutdown waits for the handler, whatever has become of its connection.
    running: watch::Receiver<Phase>,
}

impl<F: Future<Output = StreamEnd>> Future for HandlerTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(handler) = this.handler.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let stream = &this.ending.stream;
        let _span = stream.enter();
        let (end, fate) = match ready!(handler.poll(cx)) {
            Ok(Ok(end)) => (end, HandlerFate::Returned),
            Ok(Err(panic)) => (this.ending.panicked(&panic_text(panic)), HandlerFate::Returned),
            Err(reason) => (StreamEnd::failed(reason.into()), HandlerFate::Dropped),
        };
        // A panic in its drop must not lose the handler's result.
        if let Err(text) = guarded(|| this.handler.set(None)) {
            report("the drop of a handler", &text);
        }
        drop(this.permit.take());
        this.ending.finish(end, Some(fate));
        Poll::Ready(())
    }
}

/// Ends the stream exactly once: when its handler returns, panics or is dropped.
struct FinishGuard {
    stream: Arc<StreamInner>,
    /// `None` once the stream is finished.
    scope: Cell<Option<Scope>>,
}

impl FinishGuard {
    fn finish(&self, mut end: StreamEnd, handler: Option<HandlerFate>) {
        self.stream.report_finish(self.stream.error_of(&end).as_ref(), handler);
        end.error = end.error.map(|error| sealed(error, &self.stream.info().call_name()));
        self.send(end);
    }

    fn panicked(&self, text: &str) -> StreamEnd {
        StreamEnd::refused(ApplicationException::panicked(&self.stream.info().call_name(), text))
    }

    /// No handler has run, nor will.
    fn refuse(&self, overload: Overload) {
        let error = StreamError::from(overload);
        self.stream.report_finish(Some(&error.clone().into()), None);
        if let Some(scope) = self.scope.take() {
            self.stream.refuse(&error, &scope);
        }
    }

    fn send(&self, end: StreamEnd) {
        if let Some(scope) = self.scope.take() {
            self.stream.finish(end, &scope);
        }
    }
}

impl Drop for FinishGuard {
    /// A handler whose runtime has gone ends here: its observers are notified too, as a gauge of open streams needs it.
    fn drop(&mut self) {
        if self.scope.get_mut().is_some() {
            let code = ApplicationException::INTERNAL_ERROR;
            let end = StreamEnd::refused(ApplicationException::new(code, "handler was dropped"));
            self.finish(end, Some(HandlerFate::Dropped));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tokio puts a future with its own 104 bytes into a multiple of 128: each open stream has one. The future is a
    /// handler of crate `kitex`.
    #[test]
    fn task_of_a_handler_fits_256_bytes() {
        let size = size_of::<HandlerTask<[usize; 8]>>();
        assert!(size <= 152, "{size}");
    }
}
