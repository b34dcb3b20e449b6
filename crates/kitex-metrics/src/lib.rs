//! Prometheus metrics of Kitex calls and streams. The names and labels of Kitex's `monitor-prometheus` v0.2.0 keep its
//! dashboards; further metrics are for streams, whose length says little.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../kitex/examples/generated/echo.rs"));
//! use echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
//! use kitex::testing::Network;
//! use kitex::{Context, Result, Server, ServerStreamingServer};
//! use kitex_metrics::{Metrics, Work};
//!
//! struct Counter;
//!
//! #[kitex::async_trait]
//! impl Mirror for Counter {
//!     async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
//!         Ok(Resp { msg: req.msg, ..Resp::default() })
//!     }
//!
//!     async fn down(&self, ctx: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
//!         let work = ctx.extension::<Work>().cloned().unwrap_or_default();
//!         work.plan(1000);
//!         for seq in 0..1000 {
//!             stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
//!             work.done(1);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
//!     let metrics = Metrics::builder().work_unit("tokens").build()?;
//!     let network = Network::new();
//!     let server = Server::builder("counter").service(MirrorServer::new(Counter)).observer(metrics.clone());
//!     let server = network.serve(server)?;
//!     let client = network.client("counter").caller("reader").observer(metrics.clone()).build()?;
//!
//!     let mut stream = MirrorClient::new(client).down(&Context::background(), Req::default()).await?;
//!     stream.recv().await?;
//!     drop(stream);
//!     server.shutdown().await;
//!
//!     let text = metrics.text();
//!     assert!(text.contains(r#"kitex_stream_cancels_total{code="12007",origin="reader",side="server"} 1"#));
//!     assert!(text.contains(r#"kitex_work_saved_total{callee="counter",method="Down",unit="tokens"}"#));
//!     Ok(())
//! }
//! ```
//!
//! `kitex::inspect::bind("127.0.0.1:9090").await?.page("/metrics", kitex_metrics::CONTENT_TYPE, move || metrics.text())`
//! serves the text, beside `/healthz`, `/readyz` and `/streams` (feature `inspect-http` of `kitex`).
//!
//! | metric | type | labels | meaning |
//! |---|---|---|---|
//! | `kitex_server_throughput`, `kitex_client_throughput` | counter | `caller`, `callee`, `method`, `status`, `retry` | calls and streams that ended; as Kitex's |
//! | `kitex_server_latency_us`, `kitex_client_latency_us` | histogram | the same | their duration in microseconds; as Kitex's |
//! | `kitex_streams_active` | gauge | `side`, `caller`, `callee`, `method` | open streams |
//! | `kitex_stream_duration_seconds` | histogram | the same, `end` | duration of a stream that ended `ok`, `error` or `canceled` |
//! | `kitex_stream_first_message_seconds` | histogram | `side`, `caller`, `callee`, `method` | from the start to the first response message |
//! | `kitex_stream_message_gap_seconds` | histogram | the same | between two response messages |
//! | `kitex_stream_messages_total`, `kitex_stream_bytes_total` | counter | the same, `direction` | messages and their encoded bytes, `sent` or `received` |
//! | `kitex_stream_cancels_total` | counter | `code`, `origin`, `side` | canceled streams; `origin` is the first service of the cancel path, or the caller |
//! | `kitex_cancel_propagation_seconds` | histogram | `side` | from the receipt of a cancel until everything below is canceled; a sample, see below |
//! | `kitex_stream_sends_after_cancel_total` | counter | `callee`, `method` | messages that a handler made after its cancel |
//! | `kitex_handlers_dropped_total` | counter | `callee`, `method` | handlers dropped after a cancel because they did not return |
//! | `kitex_refused_total` | counter | `side`, `callee`, `method`, `code` | calls refused by a limit, a shutdown, or for want of the method |
//! | `kitex_work_done_total`, `kitex_work_saved_total` | counter | `callee`, `method`, `unit` | work of handlers, and planned work that a cancel has saved |
//! | `kitex_server_handlers`, `kitex_server_queued` | gauge | `callee` | load of a server: running handlers, and streams and calls that wait for one: `Metrics::server` |
//! | `kitex_server_refused_total` | counter | `callee` | streams and calls that the server refused by `max_handlers`, `max_queue_wait` and `max_qps` |
//! | `kitex_client_pool_connections`, `kitex_client_pool_streams` | gauge | `callee` | state of a client's pool: `Metrics::pool` |
//! | `kitex_client_instances` | gauge | `callee` | instances of a service, as the client has discovered them |
//! | `kitex_client_instances_unreachable`, `kitex_client_instances_ejected` | gauge | `callee` | of these: could not be dialed, or have closed their connections; ejected since their streams keep failing |
//! | `kitex_client_ejections_total`, `kitex_client_retries_total` | counter | `callee` | such ejections; streams and calls that were tried again |
//! | `kitex_client_dials_total`, `kitex_client_failed_dials_total` | counter | `callee` | dials of a client |
//!
//! - `status` is `succeed` or `error`. A canceled stream is an `error`, as in Kitex; to leave it out of an alert, use
//!   `kitex_stream_duration_seconds_count{end="error"}`. `retry` is always `0`.
//! - `caller` of a TTHeader Streaming call is known at the server if the caller has an observer for traces, or
//!   `kitex::inspect::ChainIds`; `unknown` otherwise, as in Kitex.
//! - A server that refuses a stream or call at once (12900, 12903) counts nothing in `kitex_refused_total`: its client does. One
//!   that has waited for a handler counts at both ends. `kitex_server_refused_total` has both.
//! - `kitex_cancel_propagation_seconds` is read from the process's last 256 cancels at each scrape.
//! - Labels are bounded: names that are not in the IDL are `unknown`; names of callers beyond 100, and combinations of labels
//!   beyond 1,000, are counted under `other`.

mod call;
mod families;
mod names;
mod propagation;
mod series;
mod sources;
mod text;
mod work;

use std::fmt;
use std::sync::Arc;

use prometheus::Registry;
use stream_core::client::PoolStats;
use stream_core::handler::ServerStats;
use stream_core::observe::{CallObserver, CallStart, Observer};

use call::CallMetrics;
use families::Families;
use propagation::Propagation;
use series::Table;
use sources::Sources;

/// The library whose registry holds the metrics.
#[doc(no_inline)]
pub use prometheus;
pub use work::Work;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Prometheus metrics of the calls of any number of clients and servers: an [`Observer`] of both. Clones are the same
/// metrics.
///
/// The number of time series is bounded, whatever peers send: see [`MetricsBuilder::max_series`].
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    table: Table,
    pools: Sources<PoolStats>,
    servers: Sources<ServerStats>,
    work_unit: Option<String>,
}

/// Builds [`Metrics`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct MetricsBuilder {
    registry: Registry,
    max_series: usize,
    max_names: usize,
    latency_us: Vec<f64>,
    work_unit: Option<String>,
}

impl Metrics {
    /// Returns metrics in a registry of their own, with every setting at its default.
    ///
    /// # Errors
    /// As of [`MetricsBuilder::build`].
    pub fn new() -> prometheus::Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder of metrics.
    pub fn builder() -> MetricsBuilder {
        MetricsBuilder {
            registry: Registry::new(),
            max_series: 1000,
            max_names: 100,
            latency_us: families::LATENCY_US.to_vec(),
            work_unit: None,
        }
    }

    /// Adds the gauges and counters of a client's connections and instances, labeled with the name of the service it calls: for example
    /// `metrics.pool("model", move || client.pool_stats())`. `stats` is called at each scrape, and must not block. A
    /// second pool of the same service is added to the first; 100 pools are kept at most.
    pub fn pool(&self, callee: &str, stats: impl Fn() -> PoolStats + Send + Sync + 'static) {
        self.0.pools.add(callee, stats);
    }

    /// Adds the gauges and the counter of a server's load, labeled with its name: for example, before it serves,
    /// `let handle = server.handle();` and `metrics.server("model", move || handle.stats())`. `stats` is called at each scrape, and
    /// must not block. A second server of the same name is added to the first; 100 servers are kept at most.
    pub fn server(&self, name: &str, stats: impl Fn() -> ServerStats + Send + Sync + 'static) {
        self.0.servers.add(name, stats);
    }

    /// Returns every metric of the registry in Prometheus' text format; its content type is [`CONTENT_TYPE`].
    pub fn text(&self) -> String {
        text::encode(&self.0.registry)
    }

    /// Returns the registry that holds the metrics.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }
}

impl MetricsBuilder {
    /// Sets the registry. Default: a new one.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Sets how many combinations of side, caller, callee and method have time series of their own; the calls of further
    /// ones are counted under `other`. A combination has about 30 time series, 90 with buckets. Default: 1,000.
    pub fn max_series(mut self, limit: usize) -> Self {
        self.max_series = limit;
        self
    }

    /// Sets how many names of services that peers send (callers, origins of cancels) become labels; further ones, and
    /// names of more than 128 bytes, are counted under `other`. Default: 100.
    pub fn max_names(mut self, limit: usize) -> Self {
        self.max_names = limit;
        self
    }

    /// Sets the upper bounds of the buckets of `kitex_server_latency_us` and `kitex_client_latency_us`, in microseconds,
    /// ascending. Default: those of Kitex, 5 ms to 1 s.
    pub fn latency_buckets(mut self, upper_bounds_us: impl Into<Vec<f64>>) -> Self {
        self.latency_us = upper_bounds_us.into();
        self
    }

    /// Counts the work of handlers in this unit, for example `tokens`: each handler finds [`Work`] in the extensions of
    /// its context. Default: not counted.
    pub fn work_unit(mut self, unit: impl Into<String>) -> Self {
        self.work_unit = Some(unit.into());
        self
    }

    /// Registers the metrics.
    ///
    /// # Errors
    /// The registry already has metrics of these names, or buckets are not ascending.
    pub fn build(self) -> prometheus::Result<Metrics> {
        let Self { registry, max_series, max_names, latency_us, work_unit } = self;
        let families = Families::register(&registry, &latency_us)?;
        let (pools, servers) = (Sources::register(&registry)?, Sources::register(&registry)?);
        Propagation::register(&registry)?;
        let table = Table::new(families, max_series, max_names);
        Ok(Metrics(Arc::new(Inner { registry, table, pools, servers, work_unit })))
    }
}

impl Observer for Metrics {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        let inner = &self.0;
        let work = inner.work_unit.as_deref().and_then(|unit| work::begin(unit, call));
        Some(Box::new(CallMetrics::start(&inner.table, call, work)))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("series", &self.0.table.len()).finish_non_exhaustive()
    }
}
