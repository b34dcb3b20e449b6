//! One call and its metrics. Owns what each event counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kerrors::{CancelPath, Code, Error, ErrorKind, Side};
use stream_core::clock;
use stream_core::observe::{CallEnd, CallObserver, CallStart, HandlerFate, MessageEvent};

use crate::names::OTHER;
use crate::series::{End, OfStreams, Series, Table, Traffic, side_name};
use crate::work::Meter;

pub(crate) struct CallMetrics {
    series: Arc<Series>,
    started: Instant,
    /// When the last response message was sent or received, in nanoseconds from the start; 0 before the first.
    last: AtomicU64,
    work: Option<Box<Meter>>,
}

impl CallMetrics {
    pub(crate) fn start(table: &Table, call: &CallStart<'_>, work: Option<Box<Meter>>) -> Self {
        let series = table.of(call);
        if let Some(stream) = &series.stream {
            stream.active.inc();
        }
        Self { series, started: clock::now(), last: AtomicU64::new(0), work }
    }

    fn message(&self, sender: Side, message: &MessageEvent, traffic: fn(&OfStreams) -> &Traffic) {
        let Some(stream) = &self.series.stream else { return };
        let traffic = traffic(stream);
        traffic.messages.inc();
        traffic.bytes.inc_by(message.bytes as u64);
        if sender == Side::Server {
            self.response(stream);
        }
    }

    /// Measures the time since the start or the last response message. One task sends or receives them.
    fn response(&self, stream: &OfStreams) {
        // Odd, so never 0.
        let now = nanos(clock::now().saturating_duration_since(self.started)) | 1;
        match self.last.swap(now, Ordering::Relaxed) {
            0 => stream.first_message.observe(seconds(now)),
            last => stream.gap.observe(seconds(now.saturating_sub(last))),
        }
    }

    fn count_cancel(&self, error: &Error) {
        let Series { shared, caller, .. } = &*self.series;
        let side = side_name(self.series.side());
        let origin = error.path().and_then(|path| CancelPath::services(path).next());
        let origin = origin.map_or(&**caller, |origin| shared.name(origin));
        shared.families.cancels.with_label_values(&[&*code(error), origin, side]).inc();
    }

    fn count_end(&self, error: Option<&Error>, elapsed: Duration) {
        let Some(stream) = &self.series.stream else { return };
        stream.active.dec();
        let end = match error {
            None => End::Ok,
            Some(error) if is_cancel(error) => End::Canceled,
            Some(_) => End::Error,
        };
        self.series.durations(stream, end).observe(elapsed.as_secs_f64());
        if let Some(error) = error.filter(|error| is_cancel(error)) {
            self.count_cancel(error);
        }
    }
}

impl CallObserver for CallMetrics {
    fn wants_meta(&self) -> bool {
        false
    }

    fn wants_header(&self) -> bool {
        false
    }

    fn sent(&self, message: &MessageEvent) {
        self.message(self.series.side(), message, |stream| &stream.sent);
    }

    fn received(&self, message: &MessageEvent) {
        let sender = match self.series.side() {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        self.message(sender, message, |stream| &stream.received);
    }

    fn send_failed(&self, error: &Error) {
        if let Some(handlers) = self.series.handlers.as_ref().filter(|_| error.is_canceled()) {
            handlers.sends_after_cancel.inc();
        }
    }

    fn finish(&self, end: &CallEnd<'_>) {
        let Series { shared, callee, method, .. } = &*self.series;
        let families = &shared.families;
        // A business error is a result, not a failure, as in Kitex.
        let failed = end.error.is_some_and(|error| error.kind() != ErrorKind::Business);
        let calls = self.series.of_status(failed);
        calls.throughput.inc();
        let elapsed = clock::now().saturating_duration_since(self.started);
        calls.latency_us.observe(elapsed.as_secs_f64() * 1e6);
        self.count_end(end.error, elapsed);
        if let (Some(handlers), Some(HandlerFate::Dropped)) = (&self.series.handlers, end.handler) {
            handlers.dropped.inc();
        }
        if let Some(error) = end.error.filter(|error| is_refusal(error)) {
            let labels = [side_name(self.series.side()), callee, method, &*code(error)];
            families.refused.with_label_values(&labels).inc();
        }
        if let Some(work) = &self.work {
            work.count(families, [callee, method], end.error.is_some_and(Error::is_canceled));
        }
    }
}

/// Returns whether a server has refused the call. The frame that refuses a stream is that of a cancel, without a path.
fn is_refusal(error: &Error) -> bool {
    let is_refused =
        matches!(error.code(), Some(Code::TOO_MANY_STREAMS | Code::DRAINING)) && error.path().is_none();
    is_refused || matches!(error.kind(), ErrorKind::Refused | ErrorKind::Unimplemented)
}

fn is_cancel(error: &Error) -> bool {
    error.is_canceled() && !is_refusal(error)
}

/// Returns the label of an error's code: the number of a code that the table has, or of a gRPC status.
fn code(error: &Error) -> std::borrow::Cow<'static, str> {
    match error.code() {
        Some(code) if Code::ALL.contains(&code) || (0..=20).contains(&code.number()) => {
            code.number().to_string().into()
        }
        Some(_) => OTHER.into(),
        None => error.kind().as_str().into(),
    }
}

/// Returns a duration of at most 584 years, without the arithmetic of 128 bits.
fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().wrapping_mul(1_000_000_000);
    whole.wrapping_add(u64::from(duration.subsec_nanos()))
}

#[expect(clippy::cast_precision_loss, reason = "a float has more digits than a clock is good for")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}
