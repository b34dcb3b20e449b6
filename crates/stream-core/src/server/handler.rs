//! Runs the handler of one stream: gives it its stream and its scope, tells it of a cancel, drops it when
//! it does not listen, and sends what it ended with.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use kerrors::{ApplicationException, Code, Error, Side, StreamError};
use tracing::Instrument;
use ttheader_codec::key;

use super::accept::Serving;
use super::{Handler, OnCancel, Peer};
use crate::Metadata;
use crate::cancel::{Reason, Scope};
use crate::driver::Link;
use crate::observe::StreamInfo;
use crate::proto::{Finish, StreamKey};
use crate::status;
use crate::stream::{Handles, RecvStream, SendStream, Shared};

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

/// Ends the stream with what the handler left, however the handler goes.
struct Ending {
    link: Arc<Link>,
    key: StreamKey,
    scope: Scope,
    finish: Finish,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.link.with(|connection| connection.finish(self.key, &self.finish));
        let returned = StreamError::new(Code::HANDLER_RETURNED).on_side(Side::Server);
        self.scope.cancel(&Reason::Stream(returned));
    }
}

pub(super) async fn serve_stream<H: Handler>(serving: Arc<Serving<H>>, link: Arc<Link>, key: StreamKey) {
    let label = link.label(key);
    let scope = Scope::labeled(label);
    link.set_scope(key, &scope);
    let Some((method, metadata, timeout)) = link.opened(key) else { return };
    let dropped = ApplicationException::new(ApplicationException::INTERNAL_ERROR, "handler was dropped");
    let finish = Finish { trailer: Metadata::new(), exception: Some(dropped) };
    let mut ending = Ending { link: link.clone(), key, scope: scope.clone(), finish };

    let info = StreamInfo {
        label,
        parent: None,
        side: Side::Server,
        service: metadata.get(key::IDL_SERVICE).cloned().unwrap_or_default(),
        method: method.clone(),
        local: link.local(),
        peer: link.peer(),
        opened: Instant::now(),
    };
    let config = &serving.config;
    let handles = Handles {
        timed: config.connection.recv_timeout.is_some(),
        send_timeout: config.send_timeout,
        observers: config.observers.clone(),
        registration: None,
        lease: None,
        link,
        key,
        info,
    };
    let shared = handles.share();
    let call = Called { method, metadata, scope, timeout };
    let end = run(&serving, &shared, call).await;
    // What ended the stream under its handler counts more than what the handler made of it.
    let error = shared.outcome().map_or_else(|| end.told(), Result::err);
    shared.tell_finish(error.as_ref());
    ending.finish = end.into_finish();
}

struct Called {
    method: Bytes,
    metadata: Metadata,
    scope: Scope,
    timeout: Option<Duration>,
}

async fn run<H: Handler>(serving: &Serving<H>, shared: &Arc<Shared>, call: Called) -> StreamEnd {
    let Called { method, metadata, scope, timeout } = call;
    let called = call_name(&metadata, &method);
    let policy = serving.on_cancel(&String::from_utf8_lossy(&method), &metadata);
    let (sender, receiver) = shared.halves();
    let peer = Peer { address: shared.info().peer };
    let incoming = Incoming { method, metadata, scope: scope.clone(), timeout, sender, receiver, peer };
    let handler = async { serving.handler.stream(incoming).await }.instrument(shared.span().clone());
    match guard(AssertUnwindSafe(handler).catch_unwind(), &scope, policy).await {
        Ok(Ok(end)) => end,
        Ok(Err(panic)) => StreamEnd::refused(panicked(&called, &*panic)),
        Err(reason) => StreamEnd::failed(reason.into()),
    }
}

/// Lets `call` run to its end, or as long after a cancel as `policy` says.
pub(crate) async fn guard<T>(
    call: impl Future<Output = T>,
    scope: &Scope,
    policy: OnCancel,
) -> Result<T, Reason> {
    let canceled = async {
        let reason = scope.canceled().await;
        match policy {
            OnCancel::Notify => std::future::pending().await,
            OnCancel::NotifyThenDrop(grace) => tokio::time::sleep(grace).await,
            OnCancel::Drop => {}
        }
        reason
    };
    if policy == OnCancel::Drop {
        // Looked at first, so that not a line of the handler runs behind the cancel.
        return tokio::select! {
            biased;
            reason = canceled => Err(reason),
            result = call => Ok(result),
        };
    }
    tokio::select! {
        biased;
        result = call => Ok(result),
        reason = canceled => Err(reason),
    }
}

/// `Service.Method`, for the sentence about a panic.
pub(crate) fn call_name(metadata: &Metadata, method: &[u8]) -> String {
    format!("{}.{}", metadata.get_str(key::IDL_SERVICE).unwrap_or_default(), String::from_utf8_lossy(method))
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
