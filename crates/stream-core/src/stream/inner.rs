//! What the handles of a stream share: a head that is the same for every transport, and behind it the
//! transport's own end of the stream, in one allocation.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, Side};

use crate::call::{CallHead, StreamEnd};
use crate::cancel::{Label, Reason, Registration, Scope, Target};
use crate::guard::{guarded, report};
use crate::observe::{Observer, Observers, StreamFacts, StreamInfo};
use crate::sync::Mutex;
use crate::{Message, Metadata, clock};

/// One end of one stream on a connection. [`NewStream`] makes the handles of it that users hold.
///
/// A method that concerns one side only is never called on the other. No method may block.
pub trait TransportStream: Send + Sync + 'static {
    /// Returns which end of the stream this is.
    fn side(&self) -> Side;

    /// Returns what is known of the stream from its start. Called only if somebody asks.
    fn facts(&self) -> StreamFacts;

    /// Returns the name of the stream in this process.
    fn label(&self) -> Label;

    /// Called once, before the handles are given out: `stream` finds the stream's info for views of open
    /// streams and for records of cancels.
    fn attach(&self, _stream: WeakStream) {}

    /// Returns what a scope cancels when the stream was opened under it. `None`: the stream's handles.
    fn target(&self) -> Option<(Arc<dyn Target>, u64)> {
        None
    }

    /// Server: returns what the peer started the stream with. From then on `scope`, its handler's, is
    /// canceled when the stream ends. `None` if the stream is gone.
    fn begin(&self, _scope: &Scope) -> Option<CallHead> {
        None
    }

    /// Queues one message whole, or waits until there is room for it.
    ///
    /// # Errors
    /// What the stream ended with; code 12005 if this direction has ended or the message is too large.
    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>>;

    /// A Send has waited for `timeout`: ends the stream with code 12904.
    fn expire_send(&self, _timeout: Duration) {}

    /// Client: ends this direction. Does nothing if it has ended.
    fn close_send(&self) {}

    /// Client: the last sender was dropped. Cancels the stream, unless this direction has ended.
    fn abandon_send(&self, reason: &Reason) {
        self.cancel(reason);
    }

    /// Returns the next message; `None` at the clean end of the peer's direction. The Recv timeout starts
    /// with the first poll that is pending.
    ///
    /// # Errors
    /// What the stream ended with, after every message that came before; code 12014 if this Recv has waited
    /// too long.
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>>;

    /// The Recv that was pending was dropped: its timeout must not end the stream.
    fn stop_recv(&self) {}

    /// Server: the receiver was dropped. What arrives is discarded.
    fn discard_incoming(&self) {}

    /// Returns the header of the response once it is there.
    ///
    /// # Errors
    /// What the stream ended with, if it ended without a header.
    fn poll_header(&self, _cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        Poll::Ready(Ok(Metadata::new()))
    }

    /// Returns the header of the response if it is there.
    fn received_header(&self) -> Option<Metadata> {
        None
    }

    /// Returns what the peer ended its direction with; `None` if it has not.
    fn trailer(&self) -> Option<Metadata> {
        None
    }

    /// Client: returns the next frame of data about the stream that no observer has seen.
    fn take_meta(&self) -> Option<(Metadata, Bytes)> {
        None
    }

    /// Server: adds to the header of the response, which is sent with the first message. `false` if it was
    /// sent.
    fn set_header(&self, _header: &Metadata) -> bool {
        false
    }

    /// Server: sends the header of the response now, if it was not sent.
    ///
    /// # Errors
    /// What the stream ended with; code 12005 if the header is too large.
    fn send_header(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Client: ends the stream here, at once, and at the peer. Does nothing if it has ended.
    fn cancel(&self, reason: &Reason);

    /// Server: its handler, which had `scope`, has returned. Sends `end` and cancels `scope`.
    fn finish(&self, _end: StreamEnd, _scope: &Scope) {}

    /// Returns what the stream ended with, if it has ended.
    fn outcome(&self) -> Option<Result<(), Error>>;

    /// No handle is left: gives up what the stream holds. A client's stream that has not ended is canceled.
    fn release(&self) {}
}

/// A stream that a transport has made, without handles yet. Dropping it releases the stream.
#[derive(Debug)]
#[must_use = "dropping it releases the stream"]
pub struct NewStream {
    inner: Arc<StreamInner>,
}

impl NewStream {
    /// Returns the stream whose end here is `transport`.
    pub fn new(transport: impl TransportStream) -> Self {
        let head = Head {
            side: transport.side(),
            header_reported: AtomicBool::new(false),
            finish_reported: AtomicBool::new(false),
            senders: AtomicU32::new(1),
            opened: clock::now(),
            info: OnceLock::new(),
            send_timeout: None,
            observers: Observers::default(),
            span: None,
            on_close: Mutex::default(),
            parent: None,
        };
        Self { inner: Arc::new(StreamInner { head, transport }) }
    }

    pub(crate) fn transport(&self) -> &dyn TransportStream {
        &self.inner.transport
    }

    /// Gives the stream what it belongs to, and reports its start. Returns the text of an observer's panic beside
    /// the stream: it is then to be ended.
    pub(crate) fn start(mut self, setup: Setup) -> (Arc<StreamInner>, Result<(), String>) {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            let Setup { send_timeout, observers, parent } = setup;
            let head = &mut inner.head;
            (head.send_timeout, head.observers) = (send_timeout.map(Box::new), observers);
            head.parent = (!parent.is_empty()).then(|| Box::new(parent));
            let span = inner.make_span();
            inner.head.span = (!span.is_disabled()).then(|| Box::new(span));
        }
        let Self { inner } = self;
        inner.transport.attach(WeakStream(Arc::downgrade(&inner)));
        let started = inner.observe(Observer::start);
        (inner, started)
    }
}

/// What a stream belongs to.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) observers: Observers,
    pub(crate) parent: Parent,
}

/// What a client's stream was opened under, and what it holds until it is released.
#[derive(Default)]
pub(crate) struct Parent {
    pub(crate) label: Option<Label>,
    /// The place in the caller's scope.
    pub(crate) registration: Option<Registration>,
    /// Dropped after the stream is released.
    pub(crate) lease: Option<Lease>,
}

/// Whatever is to be dropped after a stream is released: its place in a pool.
pub(crate) type Lease = Box<dyn std::any::Any + Send + Sync>;

impl Parent {
    fn is_empty(&self) -> bool {
        self.label.is_none() && self.registration.is_none() && self.lease.is_none()
    }
}

/// What the handles of a stream share.
pub(crate) struct StreamInner<T: TransportStream + ?Sized = dyn TransportStream> {
    head: Head,
    pub(super) transport: T,
}

/// The part of a stream that is the same for every transport.
struct Head {
    side: Side,
    header_reported: AtomicBool,
    finish_reported: AtomicBool,
    senders: AtomicU32,
    opened: Instant,
    /// Made when it is first asked for.
    info: OnceLock<Box<StreamInfo>>,
    /// Boxed, since few streams have one.
    send_timeout: Option<Box<Duration>>,
    observers: Observers,
    /// `None` if no subscriber is interested.
    span: Option<Box<tracing::Span>>,
    on_close: Mutex<Option<Box<OnClose>>>,
    parent: Option<Box<Parent>>,
}

/// Called once when a stream has ended, with its error.
type Callback = Box<dyn FnOnce(Option<&Error>) + Send>;

#[derive(Default)]
struct OnClose(Vec<Callback>);

/// Finds a stream's info as long as the stream has a handle.
#[derive(Clone)]
pub struct WeakStream(Weak<StreamInner>);

impl WeakStream {
    /// Returns what is known of the stream from its start; `None` if it has no handle any more.
    pub fn info(&self) -> Option<StreamInfo> {
        self.0.upgrade().map(|inner| inner.info().clone())
    }

    fn cancel(&self, reason: &Reason) {
        if let Some(inner) = self.0.upgrade() {
            inner.transport.cancel(reason);
        }
    }
}

impl fmt::Debug for WeakStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakStream").finish_non_exhaustive()
    }
}

/// Cancels a stream whose transport has no target of its own.
#[derive(Debug, Default)]
pub(crate) struct StreamTarget(OnceLock<WeakStream>);

impl StreamTarget {
    pub(crate) fn set(&self, inner: &Arc<StreamInner>) {
        // Set once: where the target is made.
        let _ = self.0.set(WeakStream(Arc::downgrade(inner)));
    }
}

impl Target for StreamTarget {
    fn cancel(&self, _: u64, reason: &Reason) {
        if let Some(stream) = self.0.get() {
            stream.cancel(reason);
        }
    }
}

impl<T: TransportStream + ?Sized> StreamInner<T> {
    pub(super) fn side(&self) -> Side {
        self.head.side
    }

    pub(super) fn send_timeout(&self) -> Option<Duration> {
        self.head.send_timeout.as_deref().copied()
    }

    pub(super) fn observers(&self) -> &Observers {
        &self.head.observers
    }

    pub(crate) fn info(&self) -> &StreamInfo {
        self.head.info.get_or_init(|| {
            let parent = self.head.parent.as_ref().and_then(|parent| parent.label);
            Box::new(StreamInfo::new(self.transport.facts(), self.head.side, parent, self.head.opened))
        })
    }

    fn make_span(&self) -> tracing::Span {
        tracing::info_span!(
            "stream",
            side = ?self.head.side,
            service = %self.info().service.escape_ascii(),
            method = %self.info().method.escape_ascii(),
            id = self.info().label.stream,
            peer = %self.info().peer,
            code = tracing::field::Empty,
            path = tracing::field::Empty,
        )
    }

    /// Enters the stream's span, if there is one, until the returned guard is dropped.
    pub(crate) fn enter(&self) -> Option<tracing::span::Entered<'_>> {
        self.head.span.as_ref().map(|span| span.enter())
    }

    /// Server: returns the error to report for a stream whose handler ended with `end`: what ended the
    /// stream before its handler counts more than what the handler made of it.
    pub(crate) fn error_of(&self, end: &StreamEnd) -> Option<Error> {
        let of_handler = || end.error.clone().map(Error::from);
        self.transport.outcome().map_or_else(of_handler, Result::err)
    }

    /// Reports once how the stream ended.
    pub(crate) fn report_finish(&self, error: Option<&Error>) {
        if self.head.finish_reported.swap(true, Ordering::AcqRel) {
            return;
        }
        if let (Some(span), Some(error)) = (&self.head.span, error.and_then(Error::stream)) {
            span.record("code", error.code().number());
            span.record("path", error.path().map(tracing::field::display));
        }
        let _ = self.observe(|observer, info| observer.finish(info, error));
        self.call_on_close(error);
    }

    /// Server: its handler, which had `scope`, has returned.
    pub(crate) fn finish(&self, end: StreamEnd, scope: &Scope) {
        self.transport.finish(end, scope);
    }

    /// Adds a callback for the end of the stream, or calls it if the end was reported.
    pub(super) fn add_on_close(&self, callback: impl FnOnce(Option<&Error>) + Send + 'static) {
        self.head.on_close.lock().get_or_insert_default().0.push(Box::new(callback));
        if self.head.finish_reported.load(Ordering::Acquire) {
            self.call_on_close(self.transport.outcome().and_then(Result::err).as_ref());
        }
    }

    fn call_on_close(&self, error: Option<&Error>) {
        let callbacks = self.head.on_close.lock().take();
        for callback in callbacks.into_iter().flat_map(|callbacks| callbacks.0) {
            if let Err(text) = guarded(|| callback(error)) {
                report("a close callback", &text);
            }
        }
    }

    /// Lets each observer see an event. A panic is logged, and costs neither the stream nor the other observers
    /// anything, unless the caller decides otherwise.
    ///
    /// # Errors
    /// The text of the first panic.
    pub(super) fn observe(&self, event: impl Fn(&dyn Observer, &StreamInfo)) -> Result<(), String> {
        let mut result = Ok(());
        for observer in self.head.observers.iter() {
            if let Err(text) = guarded(|| event(&**observer, self.info())) {
                report("an observer", &text);
                result = result.and(Err(text));
            }
        }
        result
    }

    /// Whether observers see headers and meta frames of this end.
    fn is_observed_client(&self) -> bool {
        !self.head.observers.is_empty() && self.head.side == Side::Client
    }

    pub(super) fn report_metas(&self) {
        if !self.is_observed_client() {
            return;
        }
        while let Some((strings, payload)) = self.transport.take_meta() {
            let _ = self.observe(|observer, info| observer.meta(info, &strings, &payload));
        }
    }

    /// Reports once the header of the response.
    pub(super) fn report_header(&self) {
        if !self.is_observed_client() {
            return;
        }
        if let Some(header) = self.transport.received_header()
            && !self.head.header_reported.swap(true, Ordering::AcqRel)
        {
            let _ = self.observe(|observer, info| observer.header(info, &header));
        }
    }

    /// Reports the end of the stream if it has ended.
    pub(super) fn report_if_ended(&self) {
        if let Some(outcome) = self.transport.outcome() {
            self.report_header();
            self.report_finish(outcome.as_ref().err());
        }
    }

    /// Client: ends the stream here and at the peer. If the scope it was opened under is canceled, though
    /// the cancel may not have reached the stream yet, it ends with the scope's reason.
    pub(super) fn cancel(&self, reason: &Reason) {
        self.transport.cancel(self.reason_above().as_ref().unwrap_or(reason));
    }

    pub(super) fn reason_above(&self) -> Option<Reason> {
        self.head.parent.as_ref()?.registration.as_ref()?.reason()
    }

    pub(super) fn add_sender(&self) {
        self.head.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns whether it was the last.
    pub(super) fn remove_sender(&self) -> bool {
        self.head.senders.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl<T: TransportStream + ?Sized> Drop for StreamInner<T> {
    fn drop(&mut self) {
        if self.head.side == Side::Client && !*self.head.finish_reported.get_mut() {
            self.cancel(&Reason::Canceled);
            self.report_if_ended();
        }
        self.transport.release();
    }
}

impl<T: TransportStream + ?Sized> fmt::Debug for StreamInner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.info().label.stream)
            .field("side", &self.head.side)
            .field("peer", &self.info().peer)
            .finish_non_exhaustive()
    }
}
