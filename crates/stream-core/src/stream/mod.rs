//! The handles of a stream: one that sends, one that receives. Raw bytes; types are another crate's.
//!
//! This pair is the seam on which typed streams stand: open, send and receive bytes, header, trailer,
//! cancel with a reason. Dropping a client's half before its end cancels the stream: a drop never looks
//! like a clean end.

mod recv;
mod send;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kerrors::{Error, Side};

pub use recv::{Recv, RecvStream};
pub use send::{Send, SendStream, SendTimer};

use crate::cancel::{Reason, Registration};
use crate::client::Lease;
use crate::driver::Link;
use crate::observe::{Observers, StreamInfo};
use crate::proto::StreamKey;
use crate::sync::Mutex;

/// What the halves of a stream share.
pub(crate) struct Shared {
    link: Arc<Link>,
    key: StreamKey,
    info: StreamInfo,
    /// Whether a Recv may time out, so that it has to look at the clock.
    timed: bool,
    send_timeout: Option<Duration>,
    senders: AtomicUsize,
    observers: Observers,
    header_told: AtomicBool,
    finish_told: AtomicBool,
    span: tracing::Span,
    on_close: Mutex<Vec<OnClose>>,
    /// The place in the caller's scope, and the connection's lease: given up after the stream is.
    registration: Option<Registration>,
    _lease: Option<Lease>,
}

/// Called once when a stream has ended, with what went wrong.
type OnClose = Box<dyn FnOnce(Option<&Error>) + std::marker::Send>;

/// What a stream's handles are made of.
pub(crate) struct Handles {
    pub(crate) link: Arc<Link>,
    pub(crate) key: StreamKey,
    pub(crate) info: StreamInfo,
    pub(crate) timed: bool,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) observers: Observers,
    pub(crate) registration: Option<Registration>,
    pub(crate) lease: Option<Lease>,
}

impl Handles {
    pub(crate) fn share(self) -> Arc<Shared> {
        let Self { link, key, info, timed, send_timeout, observers, registration, lease } = self;
        let shared = Arc::new(Shared {
            span: span(&info),
            link,
            key,
            info,
            timed,
            send_timeout,
            senders: AtomicUsize::new(1),
            observers,
            header_told: AtomicBool::new(false),
            finish_told: AtomicBool::new(false),
            on_close: Mutex::default(),
            registration,
            _lease: lease,
        });
        shared.link.set_shared(key, &shared);
        shared.observers.iter().for_each(|observer| observer.start(&shared.info));
        shared
    }
}

fn span(info: &StreamInfo) -> tracing::Span {
    tracing::info_span!(
        "stream",
        side = ?info.side,
        service = %info.service.escape_ascii(),
        method = %info.method.escape_ascii(),
        id = info.label.stream,
        peer = %info.peer,
        code = tracing::field::Empty,
        path = tracing::field::Empty,
    )
}

impl Shared {
    pub(crate) fn halves(self: &Arc<Self>) -> (SendStream, RecvStream) {
        (SendStream::new(self.clone()), RecvStream::new(self.clone()))
    }

    pub(crate) fn info(&self) -> &StreamInfo {
        &self.info
    }

    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// Says once how the stream ended.
    pub(crate) fn tell_finish(&self, error: Option<&Error>) {
        if self.finish_told.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(error) = error.and_then(Error::stream) {
            self.span.record("code", error.code().number());
            self.span.record("path", error.path().map(tracing::field::display));
        }
        self.observers.iter().for_each(|observer| observer.finish(&self.info, error));
        self.call_on_close(error);
    }

    /// Hangs `callback` on the end of the stream, or calls it if that was told.
    fn add_on_close(&self, callback: OnClose) {
        self.on_close.lock().push(callback);
        if self.finish_told.load(Ordering::Acquire) {
            self.call_on_close(self.outcome().and_then(Result::err).as_ref());
        }
    }

    fn call_on_close(&self, error: Option<&Error>) {
        let callbacks = std::mem::take(&mut *self.on_close.lock());
        callbacks.into_iter().for_each(|callback| callback(error));
    }

    /// What the stream ended with, if it has.
    pub(crate) fn outcome(&self) -> Option<Result<(), Error>> {
        self.link.with(|connection| connection.outcome(self.key))
    }

    fn tell_metas(&self) {
        if self.observers.is_empty() || self.info.side == Side::Server {
            return;
        }
        while let Some((strings, payload)) = self.link.with(|connection| connection.take_meta(self.key)) {
            self.observers.iter().for_each(|observer| observer.meta(&self.info, &strings, &payload));
        }
    }

    /// Says once what the server has answered.
    fn tell_header(&self) {
        if self.observers.is_empty() || self.info.side == Side::Server {
            return;
        }
        let header = self.link.with(|connection| connection.received_header(self.key).cloned());
        if let Some(header) = header
            && !self.header_told.swap(true, Ordering::AcqRel)
        {
            self.observers.iter().for_each(|observer| observer.header(&self.info, &header));
        }
    }

    /// If the stream has ended: says how.
    fn tell_if_ended(&self) {
        if let Some(outcome) = self.outcome() {
            self.tell_header();
            self.tell_finish(outcome.as_ref().err());
        }
    }

    /// Client: ends the stream here and there. If the scope it was opened under is canceled, though the
    /// stream may not have been told yet, with the scope's reason.
    fn cancel(&self, reason: &Reason) {
        let above = self.reason_above();
        self.link.with(|connection| connection.cancel(self.key, above.as_ref().unwrap_or(reason)));
    }

    fn reason_above(&self) -> Option<Reason> {
        self.registration.as_ref().and_then(Registration::reason)
    }

    fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it was the last.
    fn remove_sender(&self) -> bool {
        self.senders.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.info.side == Side::Client && !*self.finish_told.get_mut() {
            self.cancel(&Reason::Canceled);
            self.tell_if_ended();
        }
        self.link.release(self.key);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.key.id().get())
            .field("side", &self.info.side)
            .field("peer", &self.info.peer)
            .finish_non_exhaustive()
    }
}
