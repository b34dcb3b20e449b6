//! What operators see of a service: Prometheus metrics, and traces if the environment names a collector. Owns what a
//! server and a client have of it.

#[cfg(feature = "otel")]
mod traces;

use kitex::client::{BuildError, ClientBuilder};
use kitex::inspect::ChainIds;
use kitex::server::ServerBuilder;
use kitex_metrics::Metrics;

use crate::next::Next;
use crate::proto::Proto;

/// The metrics and traces of one service. Clones are the same.
#[derive(Clone, Debug)]
pub struct Telemetry {
    metrics: Metrics,
    #[cfg(feature = "otel")]
    traces: Option<traces::Traces>,
}

impl Telemetry {
    /// Returns the telemetry of `service`: metrics, and traces to the collector of `OTEL_EXPORTER_OTLP_ENDPOINT`, a
    /// base URL such as `http://127.0.0.1:4318`. A program without the feature `otel` warns of the variable.
    ///
    /// # Errors
    /// The variable has no URL.
    pub fn of(service: &'static str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let collector = std::env::var(ENDPOINT).ok().filter(|url| !url.is_empty());
        #[cfg(not(feature = "otel"))]
        if collector.is_some() {
            eprintln!(
                "chat: {service}: {ENDPOINT} is ignored: this program is built without `--features otel`"
            );
        }
        Ok(Self {
            metrics: Metrics::builder().work_unit("tokens").build()?,
            #[cfg(feature = "otel")]
            traces: collector.map(|url| traces::Traces::to(&url, service)).transpose()?,
        })
    }

    /// Returns the metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        self.metrics.text()
    }

    /// Observes a server.
    pub fn server(&self, builder: ServerBuilder) -> ServerBuilder {
        #[cfg(feature = "otel")]
        let builder = match &self.traces {
            Some(traces) => builder.observer(traces.observer()),
            None => builder,
        };
        builder.observer(self.metrics.clone())
    }

    /// Observes a client.
    pub fn client(&self, builder: ClientBuilder) -> ClientBuilder {
        #[cfg(feature = "otel")]
        let builder = match &self.traces {
            Some(traces) => builder.observer(traces.observer()),
            None => builder,
        };
        builder.observer(self.metrics.clone())
    }

    /// Observes a client at the start of a chain: gives each call an id, which is that of its trace if there are traces.
    pub(crate) fn first_client(&self, builder: ClientBuilder) -> ClientBuilder {
        #[cfg(feature = "otel")]
        if self.traces.is_some() {
            return self.client(builder);
        }
        self.client(builder.observer(ChainIds::new()))
    }

    /// Adds the gauges of a client's connections.
    pub fn watch_pool(&self, next: &Next) {
        self.metrics.pool(next.name(), next.pool_stats());
    }

    /// Returns an observed client of the next service, see [`Next::over`].
    ///
    /// # Errors
    /// The address is not `host:port`.
    pub fn next(
        &self,
        proto: Proto,
        own: &'static str,
        name: &'static str,
        address: &str,
    ) -> Result<Next, BuildError> {
        let next = Next::with(own, name, address, |builder| self.client(builder.transport(proto.to(name))))?;
        self.watch_pool(&next);
        Ok(next)
    }

    /// Exports the spans that are left. Takes 2 s at most.
    #[cfg_attr(not(feature = "otel"), allow(clippy::unused_async, reason = "there is nothing to export"))]
    pub async fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            traces.end().await;
        }
    }
}

/// As OpenTelemetry names it.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
