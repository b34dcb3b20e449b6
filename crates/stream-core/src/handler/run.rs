//! Runs the handler of one stream: gives it its stream and its scope, drops it after a cancel as its policy
//! says, and sends what it ended with.
//!
//! What is here lives as long as a stream does, once for each: futures are written out so that nothing in
//! them is stored twice.

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::CatchUnwind;
use kerrors::ApplicationException;
use pin_project::pin_project;

use super::policy::{Guard, guard};
use super::serving::Serving;
use super::{Handler, IncomingStream, Routed};
use crate::call::StreamEnd;
use crate::cancel::Scope;
use crate::guard::{guarded, panic_text, report};
use crate::stream::{NewStream, Parent, Setup, StreamInner, handles};

/// Returns the future that serves `stream` to its end. Nothing is done before it is polled: user code must not
/// run on the task that reads the connection.
pub(super) fn serve_stream<H: Handler>(
    serving: Arc<Serving<H>>,
    stream: NewStream,
) -> impl Future<Output = ()> + Send {
    Lazy::New(Some(move || begin(&serving, stream)))
}

/// Makes a future when it is first polled, in place.
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

/// Returns `None` if the stream is gone already, or no handler serves it.
fn begin<H: Handler>(
    serving: &Arc<Serving<H>>,
    stream: NewStream,
) -> Option<impl Future<Output = ()> + Send + use<H>> {
    let scope = Scope::labeled(stream.transport().label());
    let head = stream.transport().begin(&scope)?;
    let config = &serving.config;
    let setup = Setup {
        send_timeout: config.send_timeout,
        observers: config.observers.clone(),
        parent: Parent::default(),
    };
    let (stream, started) = stream.start(setup);
    let (sender, receiver) = handles(&stream);
    let ending = FinishGuard { stream, scope: Cell::new(Some(scope.clone())) };
    let incoming = IncomingStream { head, scope: scope.clone(), sender, receiver };
    // The handler's code and the observers' run in here.
    let routed = started.and_then(|()| guarded(|| serving.handler.clone().stream(incoming)));
    match routed {
        Ok(Ok(Routed { handler, on_cancel })) => {
            let handler = guard(handler, &scope, serving.policy(on_cancel));
            return Some(HandlerTask { ending, handler: Some(handler) });
        }
        Ok(Err(refused)) => ending.finish(StreamEnd::refused(refused)),
        Err(text) => ending.finish(ending.panicked(&text)),
    }
    None
}

/// A running handler, and what ends its stream when it has returned.
#[pin_project]
struct HandlerTask<F> {
    ending: FinishGuard,
    /// `None` once it has returned: dropped before the end of its stream is reported.
    #[pin]
    handler: Option<Guard<CatchUnwind<AssertUnwindSafe<F>>>>,
}

impl<F: Future<Output = StreamEnd>> Future for HandlerTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(handler) = this.handler.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let stream = &this.ending.stream;
        let _span = stream.enter();
        let end = match ready!(handler.poll(cx)) {
            Ok(Ok(end)) => end,
            Ok(Err(panic)) => this.ending.panicked(&panic_text(panic)),
            Err(reason) => StreamEnd::failed(reason.into()),
        };
        // A panic when it is dropped is no reason to lose how it has ended.
        if let Err(text) = guarded(|| this.handler.set(None)) {
            report("the drop of a handler", &text);
        }
        this.ending.finish(end);
        Poll::Ready(())
    }
}

/// Ends the stream once, however its handler ends.
struct FinishGuard {
    stream: Arc<StreamInner>,
    /// `None` once the stream is finished.
    scope: Cell<Option<Scope>>,
}

impl FinishGuard {
    fn finish(&self, end: StreamEnd) {
        self.stream.report_finish(self.stream.error_of(&end).as_ref());
        self.send(end);
    }

    fn panicked(&self, text: &str) -> StreamEnd {
        StreamEnd::refused(ApplicationException::panicked(&self.stream.info().call_name(), text))
    }

    fn send(&self, end: StreamEnd) {
        if let Some(scope) = self.scope.take() {
            self.stream.finish(end, &scope);
        }
    }
}

impl Drop for FinishGuard {
    fn drop(&mut self) {
        if self.scope.get_mut().is_some() {
            let code = ApplicationException::INTERNAL_ERROR;
            self.send(StreamEnd::refused(ApplicationException::new(code, "handler was dropped")));
        }
    }
}
