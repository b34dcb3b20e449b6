//! One end of a TTHeader stream, as a `TransportStream` of `stream-core`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use kerrors::{Error, Side, StreamError};
use stream_core::call::{CallHead, StreamEnd};
use stream_core::cancel::{Label, Reason, Scope, Target};
use stream_core::io::Address;
use stream_core::observe::StreamFacts;
use stream_core::stream::{TransportStream, WeakStream};
use stream_core::{Message, Metadata, Retryable, clock};

use crate::driver::Link;
use crate::head;
use crate::proto::{Finish, StreamKey};
use crate::status;

/// A stream on its connection.
pub(crate) struct Stream {
    link: Arc<Link>,
    key: StreamKey,
    side: Side,
    /// Whether a Recv may time out, so that it has to read the clock.
    timed: bool,
}

impl Stream {
    pub(crate) fn client(link: Arc<Link>, key: StreamKey, timed: bool) -> Self {
        Self { link, key, side: Side::Client, timed }
    }

    pub(crate) fn server(link: Arc<Link>, key: StreamKey, timed: bool) -> Self {
        Self { link, key, side: Side::Server, timed }
    }
}

impl TransportStream for Stream {
    fn side(&self) -> Side {
        self.side
    }

    fn facts(&self) -> StreamFacts {
        let Self { link, key, .. } = self;
        let names = link.method(*key).map(|method| (method.service().clone(), method.name().clone()));
        let (service, method) = names.unwrap_or_default();
        StreamFacts::new(link.label(*key), link.local().clone(), link.peer().clone())
            .with_names(service, method)
            .with_own_service(link.own_service(*key))
    }

    fn label(&self) -> Label {
        self.link.label(self.key)
    }

    fn ends(&self) -> Option<(&Address, &Address)> {
        Some((self.link.local(), self.link.peer()))
    }

    fn attach(&self, stream: WeakStream) {
        self.link.attach(self.key, stream);
    }

    fn target(&self) -> Option<(Arc<dyn Target>, u64)> {
        Some((self.link.clone(), self.key.token()))
    }

    fn begin(&self, scope: &Scope) -> Option<CallHead> {
        let (method, metadata, timeout) = self.link.begin(self.key, scope)?;
        let (service, method) = (method.service().clone(), method.name().clone());
        Some(head::received(service, method, metadata, timeout, self.link.peer().clone(), PROTOCOL))
    }

    fn poll_send(&self, cx: &mut Context<'_>, message: &Message<'_>) -> Poll<Result<(), Error>> {
        self.link.poll_send(cx, self.key, message)
    }

    fn expire_send(&self, timeout: Duration) {
        self.link.update_connection(|connection| connection.handle_send_timeout(self.key, timeout));
    }

    fn close_send(&self) {
        self.link.update_connection(|connection| connection.close_send(self.key));
    }

    fn abandon_send(&self, reason: &Reason) {
        self.link.update_connection(|connection| connection.abandon_send(self.key, reason));
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.link.poll_recv(cx, self.key, self.timed.then(clock::now))
    }

    fn stop_recv(&self) {
        if self.timed {
            self.link.update_connection(|connection| connection.stop_recv(self.key));
        }
    }

    fn discard_incoming(&self) {
        self.link.update_connection(|connection| connection.discard_incoming(self.key));
    }

    fn poll_header(&self, cx: &mut Context<'_>) -> Poll<Result<Metadata, Error>> {
        self.link.poll_header(cx, self.key)
    }

    fn received_header(&self) -> Option<Metadata> {
        self.link.read_connection(|connection| connection.received_header(self.key).cloned())
    }

    fn trailer(&self) -> Option<Metadata> {
        self.link.read_connection(|connection| connection.trailer(self.key).cloned())
    }

    fn take_meta(&self) -> Option<(Metadata, Bytes)> {
        self.link.read_connection(|connection| connection.take_meta(self.key))
    }

    fn set_header(&self, header: &Metadata) -> bool {
        self.link.update_connection(|connection| connection.set_header(self.key, header))
    }

    fn send_header(&self) -> Result<(), Error> {
        self.link.update_connection(|connection| connection.send_header(self.key))
    }

    fn cancel(&self, reason: &Reason) {
        self.link.update_connection(|connection| connection.cancel(self.key, reason));
    }

    fn finish(&self, end: StreamEnd, scope: &Scope) {
        let StreamEnd { mut trailer, backward, error } = end;
        head::put_backward(&mut trailer, &backward);
        let exception = error.and_then(|error| status::into_exception(error, &mut trailer));
        self.link.finish(self.key, &Finish { trailer, exception }, scope);
    }

    fn refuse(&self, error: &StreamError, scope: &Scope) {
        self.link.refuse_begun(self.key, error, scope);
    }

    fn outcome(&self) -> Option<Result<(), Error>> {
        self.link.read_connection(|connection| connection.outcome(self.key))
    }

    fn retryable(&self) -> Retryable {
        self.link.lock_connection(|connection| connection.retryable(self.key))
    }

    fn release(&self) {
        self.link.release(self.key);
    }
}

/// What observers know this transport by: Kitex's name.
pub(crate) const PROTOCOL: &str = "TTHeaderStreaming";
