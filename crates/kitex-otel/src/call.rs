//! One call, its span and its duration. Owns what each event adds to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use kerrors::{CancelPath, Code, Error, ErrorKind, Side};
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Context, KeyValue};
use stream_core::clock;
use stream_core::observe::{CallEnd, CallObserver, Connected, MessageEvent};

use crate::durations::Durations;
use crate::names;

pub(crate) struct CallSpan {
    side: Side,
    /// Holds the span.
    context: Context,
    durations: Arc<Durations>,
    /// Of the metric.
    attributes: Vec<KeyValue>,
    started: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    responded: AtomicBool,
}

impl CallSpan {
    pub(crate) fn start(
        side: Side,
        context: Context,
        durations: Arc<Durations>,
        attributes: Vec<KeyValue>,
    ) -> Self {
        let event = match side {
            Side::Client => names::CONNECT_START,
            Side::Server => names::HANDLE_START,
        };
        context.span().add_event(event, names::event_status());
        let (sent, received, responded) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        Self { side, context, durations, attributes, started: clock::now(), sent, received, responded }
    }

    fn response(&self) {
        if !self.responded.swap(true, Ordering::Relaxed) {
            self.context.span().add_event(names::FIRST_MESSAGE, Vec::new());
        }
    }

    /// Returns the status, and what [`names::END`] is.
    fn end(&self, error: Option<&Error>) -> (Status, &'static str) {
        let span = self.context.span();
        let Some(error) = error else { return (Status::Unset, "ok") };
        if error.is_canceled() {
            span.add_event(names::CANCEL, cancel_attributes(error));
        }
        if error.is_user_cancel() {
            return (Status::Unset, "canceled");
        }
        // A result, not a failure, as in Kitex.
        if error.kind() == ErrorKind::Business {
            return (Status::Unset, "error");
        }
        span.add_event(
            "exception",
            vec![
                KeyValue::new("exception.type", error.kind().as_str()),
                KeyValue::new("exception.message", error.to_string()),
                KeyValue::new("exception.stacktrace", ""),
            ],
        );
        (Status::error(error.to_string()), "error")
    }
}

fn cancel_attributes(error: &Error) -> Vec<KeyValue> {
    let code = error.code().map(|code| KeyValue::new("code", i64::from(Code::number(code))));
    let path = error.path().map(|path| KeyValue::new("path", CancelPath::as_wire(path).to_owned()));
    let cause = KeyValue::new("cause", error.message().into_owned());
    code.into_iter().chain(path).chain([cause]).collect()
}

impl CallObserver for CallSpan {
    fn wants_meta(&self) -> bool {
        false
    }

    fn wants_header(&self) -> bool {
        false
    }

    fn connected(&self, _: &Connected<'_>) {
        if self.side == Side::Client {
            self.context.span().add_event(names::CONNECT_FINISH, names::event_status());
        }
    }

    fn sent(&self, message: &MessageEvent) {
        self.sent.fetch_add(message.bytes as u64, Ordering::Relaxed);
        if self.side == Side::Server {
            self.response();
        }
    }

    fn received(&self, message: &MessageEvent) {
        self.received.fetch_add(message.bytes as u64, Ordering::Relaxed);
        if self.side == Side::Client {
            self.response();
        }
    }

    fn finish(&self, end: &CallEnd<'_>) {
        let span = self.context.span();
        let size = |bytes: &AtomicU64| i64::try_from(bytes.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let (status, ended) = self.end(end.error);
        if self.side == Side::Server {
            span.add_event(names::HANDLE_FINISH, names::event_status());
        }
        span.set_attributes([
            KeyValue::new(names::RECV_SIZE, size(&self.received)),
            KeyValue::new(names::SEND_SIZE, size(&self.sent)),
            KeyValue::new(names::END, ended),
        ]);
        let mut attributes = self.attributes.clone();
        attributes
            .push(KeyValue::new(names::STATUS, if status == Status::Unset { "Unset" } else { "Error" }));
        span.set_status(status);
        span.end();
        let elapsed = clock::now().saturating_duration_since(self.started).as_secs_f64() * 1e3;
        self.durations.of(self.side).record(elapsed, &attributes);
    }
}
