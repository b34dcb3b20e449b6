//! How long cancels took to pass through this process, from the records that the process keeps of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, Registry, Result};
use stream_core::observe::cancels;

use crate::families::short_times;
use crate::series::side_name;

/// Reads the records of cancels at each scrape. They are the last 256, so of more between two scrapes it is a sample.
pub(crate) struct Propagation {
    seconds: HistogramVec,
    read_until: Arc<Mutex<SystemTime>>,
}

impl Propagation {
    pub(crate) fn register(registry: &Registry) -> Result<()> {
        let options = HistogramOpts::new(
            "kitex_cancel_propagation_seconds",
            "Time from the receipt of a cancel until everything below it is canceled; a sample of the last 256 cancels.",
        );
        let seconds = HistogramVec::new(options.buckets(short_times()?), &["side"])?;
        registry.register(Box::new(Self { seconds, read_until: Arc::new(Mutex::new(SystemTime::now())) }))
    }
}

impl Collector for Propagation {
    fn desc(&self) -> Vec<&Desc> {
        self.seconds.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut read_until = self.read_until.lock().unwrap_or_else(PoisonError::into_inner);
        let cancels = cancels();
        for cancel in cancels.iter().filter(|cancel| cancel.at > *read_until) {
            let seconds = self.seconds.with_label_values(&[side_name(cancel.stream.side)]);
            seconds.observe(cancel.took.as_secs_f64());
        }
        *read_until =
            cancels.iter().map(|cancel| cancel.at).chain([*read_until]).max().unwrap_or(*read_until);
        drop(read_until);
        self.seconds.collect()
    }
}
