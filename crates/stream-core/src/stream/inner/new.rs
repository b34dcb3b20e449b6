//! A stream without handles, and what it is given by its owner.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::super::parent::Parent;
use super::{Head, StreamInner, StreamReplay, TransportStream, WeakStream};
use crate::clock;
use crate::observe::{Observed, StreamInfo};
use crate::sync::Mutex;

/// A stream of a transport that has no handles yet. Dropping it releases the stream.
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
            observed: None,
            span: None,
            on_close: Mutex::default(),
            parent: None,
            replay: None,
        };
        Self { inner: Arc::new(StreamInner { head, transport }) }
    }

    pub(crate) fn transport(&self) -> &dyn TransportStream {
        &self.inner.transport
    }

    /// Gives the stream what it belongs to, and reports its connection.
    pub(crate) fn start(mut self, setup: Setup) -> Arc<StreamInner> {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            let Setup { send_timeout, observed, parent, replay } = setup;
            let head = &mut inner.head;
            (head.send_timeout, head.observed) = (send_timeout.map(Box::new), observed);
            head.replay = replay;
            head.parent = (!parent.is_empty()).then(|| Box::new(parent));
            let span = inner.make_span();
            inner.head.span = (!span.is_disabled()).then(|| Box::new(span));
        }
        let Self { inner } = self;
        inner.transport.attach(WeakStream::new(&inner));
        if let Some(observed) = inner.observed() {
            match inner.transport.ends() {
                Some((local, peer)) => observed.connected(Some(inner.transport.label()), local, peer),
                None => {
                    let StreamInfo { label, local, peer, .. } = &**inner.info();
                    observed.connected(Some(*label), local, peer);
                }
            }
        }
        inner
    }
}

/// The owner of a stream: configuration, observers, and a client's parent scope.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) observed: Option<Arc<Observed>>,
    pub(crate) parent: Parent,
    /// What the stream keeps to be opened again.
    pub(crate) replay: Option<Box<StreamReplay>>,
}
