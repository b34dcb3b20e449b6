//! The client's end of one stream, as a `TransportStream` of `stream-core`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use kerrors::{Error, Side};
use stream_core::cancel::{Label, Reason as CancelReason, Target};
use stream_core::observe::StreamFacts;
use stream_core::stream::{TransportStream, WeakStream};
use stream_core::{Message, Metadata, Retryable};

use super::stream::ClientStream;

/// The client's end of one stream, as a `TransportStream` of `stream-core`.
pub(super) struct Handle(Arc<ClientStream>);

impl Handle {
    pub(super) fn new(stream: Arc<ClientStream>) -> Self {
        Self(stream)
    }
}

impl TransportStream for Handle {
    fn side(&self) -> Side {
        Side::Client
    }

    fn facts(&self) -> StreamFacts {
        self.0.facts()
    }

    fn label(&self) -> Label {
        self.0.label()
    }

    fn attach(&self, stream: WeakStream) {
        self.0.attach(stream);
    }

    fn target(&self) -> Option<(Arc<dyn Target>, u64)> {
        Some((self.0.clone(), 0))
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_send(cx, message)
    }

    fn expire_send(&self, timeout: Duration) {
        self.0.expire_send(timeout);
    }

    fn close_send(&self) {
        self.0.close_send();
    }

    fn abandon_send(&self, reason: &CancelReason) {
        self.0.abandon_send(reason);
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.0.poll_recv(cx)
    }

    fn stop_recv(&self) {
        self.0.stop_recv();
    }

    fn poll_header(&self, cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        self.0.poll_header(cx)
    }

    fn received_header(&self) -> Option<Metadata> {
        self.0.received_header()
    }

    fn trailer(&self) -> Option<Metadata> {
        self.0.trailer()
    }

    fn cancel(&self, reason: &CancelReason) {
        self.0.cancel_for(reason);
    }

    fn outcome(&self) -> Option<Result<(), Error>> {
        self.0.outcome()
    }

    fn retryable(&self) -> Retryable {
        self.0.retryable()
    }

    fn release(&self) {
        self.0.cancel_for(&CancelReason::Canceled);
    }
}
