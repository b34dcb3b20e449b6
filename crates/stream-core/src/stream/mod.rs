//! The handles of a stream: one that sends, one that receives. Raw bytes; types are another crate's.
//!
//! This pair is the seam on which typed streams stand: open, send and receive bytes, header, trailer,
//! cancel with a reason. Dropping a client's half before its end cancels the stream: a drop never looks
//! like a clean end.

mod recv;
mod send;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kerrors::{Error, Side};

pub use recv::{Recv, RecvStream};
pub use send::{Send, SendStream, SendTimer};

use crate::cancel::{Label, Reason, Registration, Scope};
use crate::client::Lease;
use crate::driver::Link;
use crate::observe::{Observers, StreamInfo};
use crate::proto::{Finish, StreamKey};
use crate::sync::Mutex;

/// What the halves of a stream share. What its connection knows is asked there.
pub(crate) struct Shared {
    link: Arc<Link>,
    key: StreamKey,
    side: Side,
    /// Whether a Recv may time out, so that it has to look at the clock.
    timed: bool,
    header_told: AtomicBool,
    finish_told: AtomicBool,
    senders: AtomicU32,
    service: Bytes,
    opened: Instant,
    /// Made for who asks.
    info: OnceLock<Box<StreamInfo>>,
    send_timeout: Option<Duration>,
    observers: Observers,
    /// `None` if nobody traces.
    span: Option<Box<tracing::Span>>,
    on_close: Mutex<Option<Box<OnClose>>>,
    /// Given up after the stream is.
    above: Option<Box<Above>>,
}

/// Called once when a stream has ended, with what went wrong.
type Callback = Box<dyn FnOnce(Option<&Error>) + std::marker::Send>;

#[derive(Default)]
struct OnClose(Vec<Callback>);

/// What a client's stream belongs to.
#[derive(Debug, Default)]
pub(crate) struct Above {
    pub(crate) parent: Option<Label>,
    /// The place in the caller's scope.
    pub(crate) registration: Option<Registration>,
    pub(crate) lease: Option<Lease>,
}

/// What a stream's handles are made of.
pub(crate) struct Handles {
    pub(crate) link: Arc<Link>,
    pub(crate) key: StreamKey,
    pub(crate) side: Side,
    /// The service's name in the IDL, as the client said it.
    pub(crate) service: Bytes,
    pub(crate) timed: bool,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) observers: Observers,
    pub(crate) above: Above,
}

impl Handles {
    pub(crate) fn share(self) -> Arc<Shared> {
        let Self { link, key, side, service, timed, send_timeout, observers, above } = self;
        let Above { parent, registration, lease } = &above;
        let alone = parent.is_none() && registration.is_none() && lease.is_none();
        let mut shared = Shared {
            link,
            key,
            side,
            timed,
            header_told: AtomicBool::new(false),
            finish_told: AtomicBool::new(false),
            senders: AtomicU32::new(1),
            service,
            opened: Instant::now(),
            info: OnceLock::new(),
            send_timeout,
            observers,
            span: None,
            on_close: Mutex::default(),
            above: (!alone).then(|| Box::new(above)),
        };
        let span = shared.make_span();
        shared.span = (!span.is_disabled()).then(|| Box::new(span));
        let shared = Arc::new(shared);
        shared.link.set_shared(key, &shared);
        shared.observers.iter().for_each(|observer| observer.start(shared.info()));
        shared
    }
}

impl Shared {
    pub(crate) fn halves(self: &Arc<Self>) -> (SendStream, RecvStream) {
        (SendStream::new(self.clone()), RecvStream::new(self.clone()))
    }

    pub(crate) fn info(&self) -> &StreamInfo {
        self.info.get_or_init(|| {
            let Self { link, key, side, service, opened, .. } = self;
            Box::new(StreamInfo {
                label: link.label(*key),
                parent: self.above.as_ref().and_then(|above| above.parent),
                side: *side,
                service: service.clone(),
                method: link.method(*key),
                local: link.local(),
                peer: link.peer(),
                opened: *opened,
            })
        })
    }

    fn make_span(&self) -> tracing::Span {
        tracing::info_span!(
            "stream",
            side = ?self.side,
            service = %self.service.escape_ascii(),
            method = %self.info().method.escape_ascii(),
            id = self.key.id().get(),
            peer = %self.link.peer(),
            code = tracing::field::Empty,
            path = tracing::field::Empty,
        )
    }

    /// Stays in the stream's span, if there is one, until what is given back is dropped.
    pub(crate) fn enter(&self) -> Option<tracing::span::Entered<'_>> {
        self.span.as_ref().map(|span| span.enter())
    }

    /// Says once how the stream ended.
    pub(crate) fn tell_finish(&self, error: Option<&Error>) {
        if self.finish_told.swap(true, Ordering::AcqRel) {
            return;
        }
        if let (Some(span), Some(error)) = (&self.span, error.and_then(Error::stream)) {
            span.record("code", error.code().number());
            span.record("path", error.path().map(tracing::field::display));
        }
        self.observers.iter().for_each(|observer| observer.finish(self.info(), error));
        self.call_on_close(error);
    }

    /// Hangs `callback` on the end of the stream, or calls it if that was told.
    fn add_on_close(&self, callback: impl FnOnce(Option<&Error>) + std::marker::Send + 'static) {
        self.on_close.lock().get_or_insert_default().0.push(Box::new(callback));
        if self.finish_told.load(Ordering::Acquire) {
            self.call_on_close(self.outcome().and_then(Result::err).as_ref());
        }
    }

    fn call_on_close(&self, error: Option<&Error>) {
        let callbacks = self.on_close.lock().take();
        callbacks.into_iter().flat_map(|callbacks| callbacks.0).for_each(|callback| callback(error));
    }

    /// Its handler, which had `scope`, has returned.
    pub(crate) fn finish(&self, finish: &Finish, scope: &Scope) {
        self.link.finish(self.key, finish, scope);
    }

    /// What the stream ended with, if it has.
    pub(crate) fn outcome(&self) -> Option<Result<(), Error>> {
        self.link.update_connection(|connection| connection.outcome(self.key))
    }

    fn tell_metas(&self) {
        if self.observers.is_empty() || self.side == Side::Server {
            return;
        }
        while let Some((strings, payload)) =
            self.link.update_connection(|connection| connection.take_meta(self.key))
        {
            self.observers.iter().for_each(|observer| observer.meta(self.info(), &strings, &payload));
        }
    }

    /// Says once what the server has answered.
    fn tell_header(&self) {
        if self.observers.is_empty() || self.side == Side::Server {
            return;
        }
        let header = self.link.update_connection(|connection| connection.received_header(self.key).cloned());
        if let Some(header) = header
            && !self.header_told.swap(true, Ordering::AcqRel)
        {
            self.observers.iter().for_each(|observer| observer.header(self.info(), &header));
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
        self.link
            .update_connection(|connection| connection.cancel(self.key, above.as_ref().unwrap_or(reason)));
    }

    fn reason_above(&self) -> Option<Reason> {
        self.above.as_ref()?.registration.as_ref()?.reason()
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
        if self.side == Side::Client && !*self.finish_told.get_mut() {
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
            .field("side", &self.side)
            .field("peer", &self.link.peer())
            .finish_non_exhaustive()
    }
}
