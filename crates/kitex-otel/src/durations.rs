//! The histograms of both sides, in milliseconds as Kitex has them.

use kerrors::Side;
use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::{Histogram, MeterProvider};

use crate::names;

pub(crate) struct Durations {
    server: Histogram<f64>,
    client: Histogram<f64>,
}

impl Durations {
    pub(crate) fn new(provider: &dyn MeterProvider, scope: InstrumentationScope) -> Self {
        let meter = provider.meter_with_scope(scope);
        let histogram = |name: &'static str| meter.f64_histogram(name).with_unit("ms").build();
        Self { server: histogram(names::SERVER_DURATION), client: histogram(names::CLIENT_DURATION) }
    }

    pub(crate) fn of(&self, side: Side) -> &Histogram<f64> {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}
