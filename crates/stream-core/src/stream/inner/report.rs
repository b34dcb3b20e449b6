//! Reports a stream to observers, spans and callbacks of users: metas, the header of the response, the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kerrors::Error;

use super::{Callback, StreamInner, StreamReplay, TransportStream};
use crate::Retryable;
use crate::guard::{guarded, report};
use crate::observe::HandlerFate;

impl<T: TransportStream + ?Sized> StreamInner<T> {
    /// Reports the outcome of the stream, once; at a server, after its handler has ended so.
    pub(crate) fn report_finish(&self, error: Option<&Error>, handler: Option<HandlerFate>) {
        if self.head.finish_reported.swap(true, Ordering::AcqRel) {
            return;
        }
        self.record_end(error);
        self.count_end(error);
        if let Some(observed) = self.observed() {
            observed.finish_after(error, handler);
        }
        self.call_on_close(error);
    }

    /// The stream was refused or lost, and `next` takes its place: its end is the call's, and its callbacks wait for it.
    pub(in crate::stream) fn hand_over(&self, next: &Arc<StreamInner>) {
        self.head.finish_reported.store(true, Ordering::Release);
        let error = self.ended_with();
        self.record_end(error.as_ref());
        // A refusal says nothing against the instance, a loss does.
        if self.transport.retryable() == Retryable::IfIdempotent {
            self.count_end(error.as_ref());
        }
        self.hand_over_callbacks(next);
    }

    /// Counts the end in the outcomes of the instance.
    fn count_end(&self, error: Option<&Error>) {
        if let Some(lease) = self.head.parent.as_ref().and_then(|parent| parent.lease.as_ref()) {
            lease.ended(error);
        }
    }

    fn record_end(&self, error: Option<&Error>) {
        if let (Some(span), Some(error)) = (&self.head.span, error) {
            span.record("code", error.code().map(kerrors::Code::number));
            span.record("path", error.path().map(tracing::field::display));
        }
    }

    /// Returns the error that the call ended with, if it has ended with one.
    fn ended_with(&self) -> Option<Error> {
        let failure = self.replay().and_then(StreamReplay::failure).cloned();
        failure.or_else(|| self.transport.outcome().and_then(Result::err))
    }

    /// Adds a callback for the end of the stream, or calls it if the end was already reported.
    fn add_callback(&self, callback: Callback) {
        self.head.on_close.lock().get_or_insert_default().0.push(callback);
        if let Some(next) = self.replay().and_then(StreamReplay::next) {
            return self.hand_over_callbacks(next);
        }
        if self.head.finish_reported.load(Ordering::Acquire) {
            self.call_on_close(self.ended_with().as_ref());
        }
    }

    fn hand_over_callbacks(&self, next: &Arc<StreamInner>) {
        let callbacks = self.head.on_close.lock().take();
        for callback in callbacks.into_iter().flat_map(|callbacks| callbacks.0) {
            next.current().add_callback(callback);
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

    #[inline]
    pub(in crate::stream) fn report_metas(&self) {
        let Some(observed) = self.observed().filter(|observed| observed.wants_meta) else { return };
        while let Some((strings, payload)) = self.transport.take_meta() {
            observed.meta(&strings, &payload);
        }
    }

    /// Reports the header of the response, once.
    #[inline]
    pub(in crate::stream) fn report_header(&self) {
        let Some(observed) = self.observed().filter(|observed| observed.wants_header) else { return };
        if self.head.header_reported.load(Ordering::Acquire) {
            return;
        }
        if let Some(header) = self.transport.received_header()
            && !self.head.header_reported.swap(true, Ordering::AcqRel)
        {
            observed.header(&header);
        }
    }

    /// Reports the end of the stream if it has ended.
    pub(in crate::stream) fn report_if_ended(&self) {
        if let Some(outcome) = self.transport.outcome() {
            self.report_header();
            let failure = self.replay().and_then(StreamReplay::failure);
            self.report_finish(failure.or(outcome.as_ref().err()), None);
        }
    }
}

impl StreamInner {
    /// Adds a callback for the end of the stream, or calls it if the end was reported.
    pub(in crate::stream) fn add_on_close(
        self: &Arc<Self>,
        callback: impl FnOnce(Option<&Error>) + Send + 'static,
    ) {
        self.current().add_callback(Box::new(callback));
    }
}
