//! The server's end of one stream, as `stream-core` defines it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use kerrors::{Error, Side, StreamError};
use stream_core::call::{CallHead, StreamEnd};
use stream_core::cancel::{Label, Reason as CancelReason, Scope};
use stream_core::observe::StreamFacts;
use stream_core::stream::{TransportStream, WeakStream};
use stream_core::{Message, Metadata};

use super::shared::Shared;
use super::stream::ServerStream;

/// The server's end of one stream, as `stream-core` defines it.
pub(super) struct Handle(Arc<ServerStream>);

impl Handle {
    pub(super) fn new(stream: Arc<ServerStream>) -> Self {
        Self(stream)
    }
}

impl TransportStream for Handle {
    fn side(&self) -> Side {
        Side::Server
    }

    fn facts(&self) -> StreamFacts {
        let (service, method) = self.0.names();
        let Shared { own_service, local, peer, .. } = self.0.shared();
        StreamFacts::new(self.0.label(), local.clone(), peer.clone())
            .with_names(service, method)
            .with_own_service(own_service.clone())
    }

    fn label(&self) -> Label {
        self.0.label()
    }

    fn attach(&self, stream: WeakStream) {
        self.0.attach(stream);
    }

    fn begin(&self, scope: &Scope) -> Option<CallHead> {
        self.0.begin(scope)
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_send(cx, message)
    }

    fn expire_send(&self, timeout: Duration) {
        self.0.expire_send(timeout);
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.0.poll_recv(cx)
    }

    fn stop_recv(&self) {
        self.0.stop_recv();
    }

    fn discard_incoming(&self) {
        self.0.discard_incoming();
    }

    fn set_header(&self, header: &Metadata) -> bool {
        self.0.set_header(header)
    }

    fn send_header(&self) -> Result<(), Error> {
        self.0.send_header()
    }

    fn cancel(&self, _: &CancelReason) {}

    fn finish(&self, end: StreamEnd, scope: &Scope) {
        self.0.finish(end, scope);
    }

    fn refuse(&self, error: &StreamError, scope: &Scope) {
        self.0.refuse_overloaded(error, scope);
    }

    fn outcome(&self) -> Option<Result<(), Error>> {
        self.0.outcome().map(|status| Err(status.into()))
    }

    fn release(&self) {
        self.0.release();
    }
}
