//! The shared state of a stream's handles: a head that is the same for all transports, and the transport's
//! own end of the stream, in one allocation.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use kerrors::{Error, Side, StreamError};

use super::parent::Parent;
use super::replay::Replay;
use crate::call::{CallHead, StreamEnd};
use crate::cancel::{Label, Reason, Scope, Target};
use crate::guard::Guarded;
use crate::io::Address;
use crate::observe::{CancelView, Observed, StreamFacts, StreamInfo, record_cancel};
use crate::sync::Mutex;
use crate::{Message, Metadata, Retryable, clock};

pub(super) mod new;
mod report;

/// One end of one stream on a connection. [`NewStream`](super::NewStream) makes its handles for users.
///
/// Methods for one side only are never called on the other. No method may block.
pub trait TransportStream: Send + Sync + 'static {
    /// Returns whether this is the client's or the server's end.
    fn side(&self) -> Side;

    /// Returns the facts that are known from the stream's start. Called only when they are needed.
    fn facts(&self) -> StreamFacts;

    /// Returns the label that identifies the stream in this process.
    fn label(&self) -> Label;

    /// Returns the addresses of this end and of the other, if that is less work than [`facts`](Self::facts).
    fn ends(&self) -> Option<(&Address, &Address)> {
        None
    }

    /// Called once, before the handles are returned: `stream` gives access to the stream's info for views of
    /// open streams and for records of cancels.
    fn attach(&self, _stream: WeakStream) {}

    /// Returns the target that a scope cancels if the stream was opened under it. `None`: the stream's
    /// handles.
    fn target(&self) -> Option<(Arc<dyn Target>, u64)> {
        None
    }

    /// Server: returns the head that the peer started the stream with. From then on `scope`, which belongs to
    /// the handler, is canceled when the stream ends. `None` if the stream has already ended.
    fn begin(&self, _scope: &Scope) -> Option<CallHead> {
        None
    }

    /// Queues one whole message, or waits until there is room for it (backpressure).
    ///
    /// # Errors
    /// The error that the stream ended with; [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if this
    /// direction has ended or the message is too large.
    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>>;

    /// Ends the stream because a Send has waited for `timeout`, with
    /// [`SEND_TIMEOUT`](kerrors::Code::SEND_TIMEOUT).
    fn expire_send(&self, _timeout: Duration) {}

    /// Client: ends this direction. Does nothing if it has ended.
    fn close_send(&self) {}

    /// Client: cancels the stream because its last sender was dropped, unless this direction has ended.
    fn abandon_send(&self, reason: &Reason) {
        self.cancel(reason);
    }

    /// Returns the next message; `None` at the clean end of the peer's direction. The Recv timeout starts
    /// with the first poll that is pending.
    ///
    /// # Errors
    /// The error that the stream ended with, after all messages before it;
    /// [`RECV_TIMEOUT`](kerrors::Code::RECV_TIMEOUT) if this Recv has timed out.
    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>>;

    /// Called when a pending Recv is dropped: its timeout must not end the stream.
    fn stop_recv(&self) {}

    /// Server: discards incoming messages because the receiver was dropped.
    fn discard_incoming(&self) {}

    /// Waits for the header of the response.
    ///
    /// # Errors
    /// The error that the stream ended with, if it ended without a header.
    fn poll_header(&self, _cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        Poll::Ready(Ok(Metadata::new()))
    }

    /// Returns the header of the response if it has arrived.
    fn received_header(&self) -> Option<Metadata> {
        None
    }

    /// Returns the trailer that the peer ended its direction with; `None` if the direction is open.
    fn trailer(&self) -> Option<Metadata> {
        None
    }

    /// Client: returns the next meta frame that was not reported to observers.
    fn take_meta(&self) -> Option<(Metadata, Bytes)> {
        None
    }

    /// Server: adds to the header of the response, which is sent with the first message. Returns `false` if
    /// it was already sent.
    fn set_header(&self, _header: &Metadata) -> bool {
        false
    }

    /// Server: sends the header of the response now, unless it was already sent.
    ///
    /// # Errors
    /// The error that the stream ended with; [`ILLEGAL_OPERATION`](kerrors::Code::ILLEGAL_OPERATION) if the
    /// header is too large.
    fn send_header(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Client: ends the stream here, immediately, and at the peer. Does nothing if it has ended.
    fn cancel(&self, reason: &Reason);

    /// Server: sends `end` and cancels `scope` because the handler, which had `scope`, has returned.
    fn finish(&self, _end: StreamEnd, _scope: &Scope) {}

    /// Server: ends the stream with `error` because a limit of the server was reached before a handler began; `scope` was given
    /// to [`begin`](Self::begin). The client may open it elsewhere, if the transport can say so. Default: as the error of a handler.
    fn refuse(&self, error: &StreamError, scope: &Scope) {
        self.finish(StreamEnd::failed(error.clone().into()), scope);
    }

    /// Returns the outcome of the stream, if it has ended.
    fn outcome(&self) -> Option<Result<(), Error>>;

    /// Client: returns whether the stream may be opened again on another connection, once it has ended with an error.
    fn retryable(&self) -> Retryable {
        Retryable::Never
    }

    /// Releases the stream's resources because its last handle was dropped. A client's stream that has not
    /// ended is canceled.
    fn release(&self) {}
}

/// What a client's stream keeps to be opened again.
pub(crate) type StreamReplay = Replay<Arc<StreamInner>>;

/// The shared state of a stream's handles.
pub(crate) struct StreamInner<T: TransportStream + ?Sized = dyn TransportStream> {
    head: Head,
    pub(super) transport: T,
}

/// The part of a stream that is the same for all transports.
struct Head {
    side: Side,
    header_reported: AtomicBool,
    finish_reported: AtomicBool,
    senders: AtomicU32,
    opened: Instant,
    /// Made when it is first asked for. Shared, since futures of message layers hold it.
    info: OnceLock<Arc<StreamInfo>>,
    /// Boxed, since few streams have one.
    send_timeout: Option<Box<Duration>>,
    /// Few streams have any.
    /// Shared with the stream that takes the place of this one, if it is refused.
    observed: Option<Arc<Observed>>,
    /// `None` if no subscriber is interested.
    span: Option<Box<tracing::Span>>,
    on_close: Mutex<Option<Box<OnClose>>>,
    parent: Option<Box<Parent>>,
    replay: Option<Box<StreamReplay>>,
}

/// Called once when a stream has ended, with its error.
type Callback = Box<dyn FnOnce(Option<&Error>) + Send>;

#[derive(Default)]
struct OnClose(Vec<Callback>);

/// Gives access to a stream's info while the stream has a handle.
#[derive(Clone)]
pub struct WeakStream(Weak<StreamInner>);

impl WeakStream {
    pub(super) fn new(inner: &Arc<StreamInner>) -> Self {
        Self(Arc::downgrade(inner))
    }

    /// Returns the facts known from the stream's start; `None` if all its handles were dropped. Called without a lock,
    /// as [`hold`](Self::hold) says.
    pub fn info(&self) -> Option<StreamInfo> {
        self.hold()?.info()
    }

    /// Keeps the stream until the returned value is dropped; `None` if all its handles were dropped. A transport calls it
    /// where the end of a stream becomes visible: a task that sees the end may drop the last handle before the end is
    /// recorded.
    ///
    /// The returned value is dropped without a lock: if it is the last reference, its drop ends the stream, which takes
    /// the locks of the stream and of its connection.
    pub fn hold(&self) -> Option<HeldStream> {
        self.0.upgrade().map(|inner| HeldStream(Guarded::new(inner)))
    }

    pub(super) fn cancel(&self, reason: &Reason) {
        if let Some(held) = self.hold()
            && let Some(inner) = held.0.get()
        {
            inner.transport.cancel(reason);
        }
    }
}

impl fmt::Debug for WeakStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakStream").finish_non_exhaustive()
    }
}

/// A stream that is kept until its end is recorded. What belongs to users is dropped with it: a panic of that is logged.
#[must_use = "dropping it may end the stream"]
pub struct HeldStream(Guarded<Arc<StreamInner>>);

impl HeldStream {
    /// Returns the facts known from the stream's start. `None` only while it is dropped.
    pub fn info(&self) -> Option<StreamInfo> {
        self.0.get().map(|inner| (**inner.info()).clone())
    }

    /// Records that the stream was canceled with `error`, received at `received`, after which everything below it has been
    /// canceled. Called by transports, without a lock.
    pub fn record_cancel(&self, error: impl Into<Error>, received: Instant) {
        if let Some(stream) = self.info() {
            let took = clock::now().saturating_duration_since(received);
            record_cancel(CancelView { at: SystemTime::now(), received, stream, error: error.into(), took });
        }
    }
}

impl fmt::Debug for HeldStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldStream").finish_non_exhaustive()
    }
}

impl<T: TransportStream + ?Sized> StreamInner<T> {
    pub(super) fn side(&self) -> Side {
        self.head.side
    }

    /// What is kept to open the stream again; `None` if it never is.
    pub(super) fn replay(&self) -> Option<&StreamReplay> {
        self.head.replay.as_deref()
    }

    pub(super) fn send_timeout(&self) -> Option<Duration> {
        self.head.send_timeout.as_deref().copied()
    }

    /// Returns the observers of the stream, if it has any.
    pub(super) fn observed(&self) -> Option<&Observed> {
        self.head.observed.as_deref().filter(|observed| observed.is_observed())
    }

    pub(crate) fn info(&self) -> &Arc<StreamInfo> {
        self.head.info.get_or_init(|| {
            let Head { side, opened, parent, observed, .. } = &self.head;
            let mut info = StreamInfo::new(self.transport.facts(), *side, *opened);
            info.parent = parent.as_ref().and_then(|parent| parent.label);
            if let Some(observed) = observed {
                (info.chain, info.peer_service) = (observed.chain, observed.peer_service.clone());
            }
            Arc::new(info)
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

    /// Server: returns the error to report for a stream whose handler ended with `end`: an error that ended
    /// the stream before has precedence over the handler's result.
    pub(crate) fn error_of(&self, end: &StreamEnd) -> Option<Error> {
        let of_handler = || end.error.clone().map(Error::from);
        self.transport.outcome().map_or_else(of_handler, Result::err)
    }

    /// Server: ends the stream because its handler, which had `scope`, has returned.
    pub(crate) fn finish(&self, end: StreamEnd, scope: &Scope) {
        self.transport.finish(end, scope);
    }

    pub(crate) fn refuse(&self, error: &StreamError, scope: &Scope) {
        self.transport.refuse(error, scope);
    }

    /// Client: ends the stream here and at the peer. If the scope it was opened under is canceled, it ends
    /// with the scope's reason, even if the cascade has not reached the stream yet.
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
        if let Some(replay) = self.replay() {
            replay.give_up();
        }
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
