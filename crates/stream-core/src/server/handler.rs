//! Runs the handler of one stream: gives it its stream and its scope, tells it of a cancel, drops it when
//! it does not listen, and sends what it ended with.
//!
//! What is here lives as long as a stream does, once for each: futures are written out so that nothing in
//! them stands twice.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use kerrors::{ApplicationException, Error, Side};
use pin_project::pin_project;
use tokio::time::Sleep;
use ttheader_codec::key;

use super::accept::Serving;
use super::{Handler, OnCancel, Peer, Served};
use crate::Metadata;
use crate::cancel::{Canceled, Reason, Scope};
use crate::driver::Link;
use crate::proto::{Finish, StreamKey};
use crate::status;
use crate::stream::{Above, Handles, RecvStream, SendStream, Shared};

/// A stream that a peer has opened.
#[derive(Debug)]
pub struct Incoming {
    /// The method's name as the peer wrote it.
    pub method: Bytes,
    /// What the peer opened the stream with: the IDL service's name, metainfo.
    pub metadata: Metadata,
    /// Canceled when the stream ends under the handler, and when the handler has returned.
    pub scope: Scope,
    /// What the client said was left until its deadline.
    pub timeout: Option<Duration>,
    /// Sends answers.
    pub sender: SendStream,
    /// Receives requests.
    pub receiver: RecvStream,
    /// Who opened it.
    pub peer: Peer,
}

/// What a stream ends with.
#[derive(Debug, Default)]
pub struct StreamEnd {
    /// Strings of the trailer.
    pub trailer: Metadata,
    /// What went wrong, if something did.
    pub error: Option<HandlerError>,
}

/// Why a handler's call failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandlerError {
    /// The handler returned an error.
    Returned(Error),
    /// There is no such handler.
    Refused(ApplicationException),
}

/// Serves a stream that a peer has opened, to its end. Nothing is done before it is polled: what observers
/// do in it is not for the reader's task.
pub(super) fn serve_stream<H: Handler>(
    serving: Arc<Serving<H>>,
    link: Arc<Link>,
    key: StreamKey,
) -> impl Future<Output = ()> + Send {
    Lazy::New(Some(move || begin(&serving, link, key)))
}

/// Makes a future when it is polled first, in the place where it then stays.
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

/// `None`: the stream is gone already, or there is no handler for it.
fn begin<H: Handler>(
    serving: &Arc<Serving<H>>,
    link: Arc<Link>,
    key: StreamKey,
) -> Option<impl Future<Output = ()> + Send + use<H>> {
    let scope = Scope::labeled(link.label(key));
    let (method, metadata, timeout) = link.begin(key, &scope)?;
    let peer = Peer { address: link.peer() };
    let config = &serving.config;
    let handles = Handles {
        side: Side::Server,
        service: metadata.get(key::IDL_SERVICE).cloned().unwrap_or_default(),
        timed: config.connection.recv_timeout.is_some(),
        send_timeout: config.send_timeout,
        observers: config.observers.clone(),
        above: Above::default(),
        link,
        key,
    };
    let shared = handles.share();
    let (sender, receiver) = shared.halves();
    let ending = Ending { shared, scope: scope.clone(), finished: Cell::new(false) };
    let incoming = Incoming { method, metadata, scope: scope.clone(), timeout, sender, receiver, peer };
    match serving.handler.clone().stream(incoming) {
        Ok(Served { handler, on_cancel }) => {
            let handler = guard(handler, &scope, on_cancel.unwrap_or(config.on_cancel));
            Some(Running { ending, handler: Some(handler) })
        }
        Err(refused) => {
            ending.finish(StreamEnd::refused(refused));
            None
        }
    }
}

/// A handler at work, and the end that waits for it.
#[pin_project]
struct Running<F> {
    ending: Ending,
    /// `None` once it has returned: gone before its stream's end is told.
    #[pin]
    handler: Option<Guard<CatchUnwind<AssertUnwindSafe<F>>>>,
}

impl<F: Future<Output = StreamEnd>> Future for Running<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(handler) = this.handler.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let shared = &this.ending.shared;
        let _span = shared.enter();
        let end = match ready!(handler.poll(cx)) {
            Ok(Ok(end)) => end,
            Ok(Err(panic)) => StreamEnd::refused(panicked(&shared.info().call_name(), &*panic)),
            Err(reason) => StreamEnd::failed(reason.into()),
        };
        this.handler.set(None);
        this.ending.finish(end);
        Poll::Ready(())
    }
}

/// Ends the stream, however its handler goes.
struct Ending {
    shared: Arc<Shared>,
    scope: Scope,
    finished: Cell<bool>,
}

impl Ending {
    fn finish(&self, end: StreamEnd) {
        // What ended the stream under its handler counts more than what the handler made of it.
        let error = self.shared.outcome().map_or_else(|| end.told(), Result::err);
        self.shared.tell_finish(error.as_ref());
        self.leave(&end.into_finish());
    }

    fn leave(&self, finish: &Finish) {
        self.finished.set(true);
        self.shared.finish(finish, &self.scope);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.finished.get() {
            let dropped =
                ApplicationException::new(ApplicationException::INTERNAL_ERROR, "handler was dropped");
            self.leave(&Finish { trailer: Metadata::new(), exception: Some(dropped) });
        }
    }
}

/// Lets `call` run to its end, or as long after a cancel as `policy` says.
pub(crate) fn guard<F: Future>(
    call: F,
    scope: &Scope,
    policy: OnCancel,
) -> Guard<CatchUnwind<AssertUnwindSafe<F>>> {
    let call = AssertUnwindSafe(call).catch_unwind();
    Guard { call, canceled: scope.canceled(), policy, leave: None }
}

/// What [`guard`] makes of a call.
#[pin_project]
pub(crate) struct Guard<F> {
    #[pin]
    call: F,
    canceled: Canceled,
    policy: OnCancel,
    /// Why it is to go, and until when it may stay.
    leave: Option<Pin<Box<Leaving>>>,
}

/// Boxed where it is held: few calls are canceled, and a timer is large.
#[pin_project]
struct Leaving {
    reason: Reason,
    #[pin]
    until: Sleep,
}

impl<F: Future> Future for Guard<F> {
    type Output = Result<F::Output, Reason>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Looked at first, so that not a line of the handler runs behind the cancel.
        if *this.policy == OnCancel::Drop
            && let Poll::Ready(reason) = Pin::new(&mut *this.canceled).poll(cx)
        {
            return Poll::Ready(Err(reason));
        }
        if let Poll::Ready(result) = this.call.poll(cx) {
            return Poll::Ready(Ok(result));
        }
        let OnCancel::NotifyThenDrop(grace) = *this.policy else { return Poll::Pending };
        let leave = match this.leave {
            Some(leave) => leave,
            none => {
                let reason = ready!(Pin::new(this.canceled).poll(cx));
                none.insert(Box::pin(Leaving { reason, until: tokio::time::sleep(grace) }))
            }
        };
        let leave = leave.as_mut().project();
        leave.until.poll(cx).map(|()| Err(leave.reason.clone()))
    }
}

pub(crate) fn panicked(called: &str, panic: &(dyn Any + Send)) -> ApplicationException {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    ApplicationException::panicked(called, text)
}

impl StreamEnd {
    /// An end with an error of the handler's.
    pub fn failed(error: Error) -> Self {
        Self { trailer: Metadata::new(), error: Some(HandlerError::Returned(error)) }
    }

    /// An end without a handler.
    pub fn refused(exception: ApplicationException) -> Self {
        Self { trailer: Metadata::new(), error: Some(HandlerError::Refused(exception)) }
    }

    /// What went wrong, as an observer is told.
    fn told(&self) -> Option<Error> {
        self.error.as_ref().map(|error| match error {
            HandlerError::Returned(error) => error.clone(),
            HandlerError::Refused(exception) => Error::Remote(exception.clone()),
        })
    }

    fn into_finish(self) -> Finish {
        let Self { mut trailer, error } = self;
        let exception = error.and_then(|error| error.into_exception(&mut trailer));
        Finish { trailer, exception }
    }
}

impl HandlerError {
    /// A business error goes among `strings`, anything else becomes an exception.
    pub(crate) fn into_exception(self, strings: &mut Metadata) -> Option<ApplicationException> {
        match self {
            Self::Refused(exception) => Some(exception),
            Self::Returned(Error::Biz(biz)) => {
                status::put_biz(strings, &biz);
                None
            }
            Self::Returned(error) => Some(ApplicationException::failed(&error)),
        }
    }
}
