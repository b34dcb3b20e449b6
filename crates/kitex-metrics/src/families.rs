//! Every metric family: its name, help text, labels and buckets. Owns no time series of a call.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, Result,
    exponential_buckets,
};

/// Labels of Kitex's monitor-prometheus.
pub(crate) const OF_CALLS: [&str; 5] = ["caller", "callee", "method", "status", "retry"];
/// Labels of streams.
const OF_STREAMS: [&str; 4] = ["side", "caller", "callee", "method"];
/// Labels of handlers.
const OF_HANDLERS: [&str; 2] = ["callee", "method"];

/// Kitex's buckets of latencies, in microseconds.
pub(crate) const LATENCY_US: [f64; 8] = [5e3, 10e3, 25e3, 50e3, 100e3, 250e3, 500e3, 1e6];
const FIRST_MESSAGE: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const GAP: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
const DURATION: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// The metrics of one side that Kitex has too.
pub(crate) struct OfSide {
    pub(crate) throughput: IntCounterVec,
    pub(crate) latency_us: HistogramVec,
}

pub(crate) struct Families {
    pub(crate) server: OfSide,
    pub(crate) client: OfSide,
    pub(crate) active: IntGaugeVec,
    pub(crate) duration: HistogramVec,
    pub(crate) first_message: HistogramVec,
    pub(crate) gap: HistogramVec,
    pub(crate) messages: IntCounterVec,
    pub(crate) bytes: IntCounterVec,
    pub(crate) cancels: IntCounterVec,
    pub(crate) sends_after_cancel: IntCounterVec,
    pub(crate) handlers_dropped: IntCounterVec,
    pub(crate) refused: IntCounterVec,
    pub(crate) work_done: IntCounterVec,
    pub(crate) work_saved: IntCounterVec,
}

impl Families {
    /// Creates the families in `registry`.
    ///
    /// # Errors
    /// The registry has one of these names, or `latency_us` does not ascend.
    pub(crate) fn register(registry: &Registry, latency_us: &[f64]) -> Result<Self> {
        // A family checks its buckets when it makes its first time series, by a panic.
        Histogram::with_opts(HistogramOpts::new("check", "check").buckets(latency_us.to_vec()))?;
        let of_streams =
            |name: &str, help: &str, buckets: &[f64]| histogram(registry, name, help, buckets, &[]);
        let counter = |name: &str, help: &str, labels: &[&str]| counter(registry, name, help, labels);
        let active = Opts::new("kitex_streams_active", "Streams that are open.");
        let by_direction = [&OF_STREAMS[..], &["direction"]].concat();
        let of_work = ["callee", "method", "unit"];
        Ok(Self {
            server: OfSide::register(registry, "server", SERVER_LATENCY, latency_us)?,
            client: OfSide::register(registry, "client", CLIENT_LATENCY, latency_us)?,
            active: add(registry, IntGaugeVec::new(active, &OF_STREAMS)?)?,
            duration: histogram(
                registry,
                "kitex_stream_duration_seconds",
                DURATION_HELP,
                &DURATION,
                &["end"],
            )?,
            first_message: of_streams(
                "kitex_stream_first_message_seconds",
                FIRST_MESSAGE_HELP,
                &FIRST_MESSAGE,
            )?,
            gap: of_streams("kitex_stream_message_gap_seconds", GAP_HELP, &GAP)?,
            messages: counter("kitex_stream_messages_total", MESSAGES, &by_direction)?,
            bytes: counter("kitex_stream_bytes_total", BYTES, &by_direction)?,
            cancels: counter("kitex_stream_cancels_total", CANCELS, &["code", "origin", "side"])?,
            sends_after_cancel: counter(
                "kitex_stream_sends_after_cancel_total",
                SENDS_AFTER_CANCEL,
                &OF_HANDLERS,
            )?,
            handlers_dropped: counter("kitex_handlers_dropped_total", HANDLERS_DROPPED, &OF_HANDLERS)?,
            refused: counter("kitex_refused_total", REFUSED, &["side", "callee", "method", "code"])?,
            work_done: counter("kitex_work_done_total", WORK_DONE, &of_work)?,
            work_saved: counter("kitex_work_saved_total", WORK_SAVED, &of_work)?,
        })
    }
}

impl OfSide {
    fn register(registry: &Registry, side: &str, latency_help: &str, latency_us: &[f64]) -> Result<Self> {
        let help = format!("Total number of RPCs completed by the {side}, regardless of success or failure.");
        let latency = HistogramOpts::new(format!("kitex_{side}_latency_us"), latency_help);
        let latency = HistogramVec::new(latency.buckets(latency_us.to_vec()), &OF_CALLS)?;
        Ok(Self {
            throughput: counter(registry, &format!("kitex_{side}_throughput"), &help, &OF_CALLS)?,
            latency_us: add(registry, latency)?,
        })
    }
}

/// Kitex's texts.
const SERVER_LATENCY: &str =
    "Latency (microseconds) of RPC that had been application-level handled by the server.";
const CLIENT_LATENCY: &str = "Latency (microseconds) of the RPC until it is finished.";

const DURATION_HELP: &str =
    "Time from the start of a stream to its end, by how it ended: ok, error or canceled.";
const FIRST_MESSAGE_HELP: &str = "Time from the start of a stream to its first response message.";
const GAP_HELP: &str = "Time between two response messages of a stream.";
const MESSAGES: &str = "Messages of streams, by direction: sent or received.";
const BYTES: &str = "Encoded bytes of the messages of streams, by direction: sent or received.";
const CANCELS: &str = "Canceled streams, by code and by the service that canceled first.";
const SENDS_AFTER_CANCEL: &str =
    "Messages that handlers made although their stream was canceled: Sends that failed for it.";
const HANDLERS_DROPPED: &str = "Handlers that had not returned in time after a cancel and were dropped.";
const REFUSED: &str = "Calls that a limit, a graceful shutdown or an unknown method refused, by code.";
const WORK_DONE: &str = "Work that handlers have done, in the unit of the service.";
const WORK_SAVED: &str = "Planned work that handlers have not done because their call was canceled.";

/// Returns the buckets of short times that need no care: 10 us to about 40 ms.
pub(crate) fn short_times() -> Result<Vec<f64>> {
    exponential_buckets(0.000_01, 4.0, 7)
}

pub(crate) fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

/// Of streams, with `more` labels.
fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
    more: &[&str],
) -> Result<HistogramVec> {
    let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    add(registry, HistogramVec::new(options, &[&OF_STREAMS[..], more].concat())?)
}
