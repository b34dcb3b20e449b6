//! Traces of a service, exported to a collector by OTLP over HTTP, in batches, by a thread of its own.

use std::time::Duration;

use kitex_otel::Telemetry;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

#[derive(Clone, Debug)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
    telemetry: Telemetry,
}

impl Traces {
    /// Returns traces of `service` to the collector at a base URL.
    pub(super) fn to(
        collector: &str,
        service: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // reqwest has no cipher suite of its own here. Another one that was installed before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/v1/traces", collector.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        let exporter = exporter.with_endpoint(&url).build();
        let exporter = exporter.map_err(|error| format!("cannot export traces to {url}: {error}"))?;
        let resource = Resource::builder().with_service_name(service).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let telemetry = Telemetry::builder().tracer_provider(&provider).build();
        Ok(Self { provider, telemetry })
    }

    pub(super) fn observer(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// Exports the spans that are left, for [`LAST_EXPORT`] at most. Without a collector they are lost.
    pub(super) async fn end(self) {
        let export = move || self.provider.shutdown_with_timeout(LAST_EXPORT);
        let _ = tokio::task::spawn_blocking(export).await;
    }
}

const LAST_EXPORT: Duration = Duration::from_secs(2);
