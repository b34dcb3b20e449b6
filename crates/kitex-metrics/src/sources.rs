//! The state of clients' connections and instances, and the load of servers, read at each scrape.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, Result};
use stream_core::client::PoolStats;
use stream_core::handler::ServerStats;

/// What is read of one kind, such as the pools of a program, as a collector.
pub(crate) struct Sources<S>(Arc<Inner<S>>);

/// The label of a source, and what reads it.
type Labeled<S> = (Box<str>, Arc<dyn Fn() -> S + Send + Sync>);

struct Inner<S> {
    sources: Mutex<Vec<Labeled<S>>>,
    /// Locked while the families are set and read, so that two scrapes do not mix.
    families: Mutex<Families<S>>,
    descs: Vec<Desc>,
}

struct Families<S> {
    gauges: Vec<(IntGaugeVec, Value<S, usize>)>,
    counters: Vec<(IntCounterVec, Value<S, u64>)>,
}

type Value<S, T> = fn(&S) -> T;
type Row<S, T> = (&'static str, &'static str, Value<S, T>);

/// The state of which metrics are made.
pub(crate) trait Source: Sized + 'static {
    /// Name, help text and value of each gauge, labeled with the service that is called.
    const GAUGES: &[Row<Self, usize>];
    /// The same of each counter.
    const COUNTERS: &[Row<Self, u64>];
}

impl Source for ServerStats {
    const GAUGES: &[Row<Self, usize>] = &[
        ("kitex_server_handlers", "Running handlers of a server.", |stats| stats.handlers),
        ("kitex_server_queued", "Streams and calls that wait for a handler.", |stats| stats.queued),
    ];
    const COUNTERS: &[Row<Self, u64>] = &[(
        "kitex_server_refused_total",
        "Streams and calls that a server refused by its limits of handlers and calls per second.",
        |stats| stats.refused,
    )];
}

impl Source for PoolStats {
    const GAUGES: &[Row<Self, usize>] = &[
        ("kitex_client_pool_connections", "Open connections of a client's pool.", |stats| stats.connections),
        ("kitex_client_pool_streams", "Streams on the shared connections of a client's pool.", |stats| {
            stats.streams
        }),
        ("kitex_client_instances", "Instances of a service that a client has discovered.", |stats| {
            stats.instances
        }),
        (
            "kitex_client_instances_unreachable",
            "Instances that a client could not reach when it dialed them last, or that have closed their connections.",
            |stats| stats.unreachable_instances,
        ),
        (
            "kitex_client_instances_ejected",
            "Instances that a client has ejected since their streams and calls kept failing.",
            |stats| stats.ejected_instances,
        ),
    ];
    const COUNTERS: &[Row<Self, u64>] = &[
        ("kitex_client_dials_total", "Dials of a client.", |stats| stats.dials),
        ("kitex_client_failed_dials_total", "Dials of a client that failed.", |stats| stats.failed_dials),
        (
            "kitex_client_ejections_total",
            "Ejections of instances whose streams and calls kept failing.",
            |stats| stats.ejections,
        ),
        ("kitex_client_retries_total", "Streams and calls that were tried again.", |stats| stats.retries),
    ];
}

/// The largest number of sources of one kind.
const MAX_SOURCES: usize = 100;

impl<S> Clone for Sources<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Source> Sources<S> {
    pub(crate) fn register(registry: &Registry) -> Result<Self> {
        let families = Families::new()?;
        let descs = families.collectors().flat_map(Collector::desc).cloned().collect();
        let inner = Inner { sources: Mutex::default(), families: Mutex::new(families), descs };
        let sources = Self(Arc::new(inner));
        registry.register(Box::new(sources.clone()))?;
        Ok(sources)
    }

    pub(crate) fn add(&self, callee: &str, stats: impl Fn() -> S + Send + Sync + 'static) {
        let mut sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() < MAX_SOURCES {
            sources.push((callee.into(), Arc::new(stats)));
        }
    }
}

impl<S: Source> Families<S> {
    fn new() -> Result<Self> {
        let gauge = |&(name, help, value): &Row<S, usize>| {
            Ok((IntGaugeVec::new(Opts::new(name, help), &["callee"])?, value))
        };
        let counter = |&(name, help, value): &Row<S, u64>| {
            Ok((IntCounterVec::new(Opts::new(name, help), &["callee"])?, value))
        };
        Ok(Self {
            gauges: S::GAUGES.iter().map(gauge).collect::<Result<_>>()?,
            counters: S::COUNTERS.iter().map(counter).collect::<Result<_>>()?,
        })
    }

    fn collectors(&self) -> impl Iterator<Item = &dyn Collector> {
        let gauges = self.gauges.iter().map(|(gauge, _)| gauge as &dyn Collector);
        gauges.chain(self.counters.iter().map(|(counter, _)| counter as &dyn Collector))
    }

    fn set(&self, sources: &[(Box<str>, S)]) {
        for (gauge, value) in &self.gauges {
            gauge.reset();
            for (callee, stats) in sources {
                let value = i64::try_from(value(stats)).unwrap_or(i64::MAX);
                gauge.with_label_values(&[&**callee]).add(value);
            }
        }
        for (counter, value) in &self.counters {
            counter.reset();
            for (callee, stats) in sources {
                counter.with_label_values(&[&**callee]).inc_by(value(stats));
            }
        }
    }
}

impl<S: Source> Collector for Sources<S> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // User code: without a lock.
        let sources: Vec<_> = sources.into_iter().map(|(callee, stats)| (callee, stats())).collect();
        let families = self.0.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.set(&sources);
        families.collectors().flat_map(Collector::collect).collect()
    }
}
