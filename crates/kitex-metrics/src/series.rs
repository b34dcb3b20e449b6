//! The time series of calls with the same labels, and the bounded table that finds them. A call looks its series up
//! once; its messages then change atomics only.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use kerrors::Side;
use prometheus::{Histogram, IntCounter, IntGauge};
use stream_core::call::CallKind;
use stream_core::observe::CallStart;

use crate::families::{Families, OfSide};
use crate::names::{Names, OTHER, UNKNOWN};

/// What calls with the same series have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key<'a> {
    side: Side,
    kind: CallKind,
    caller: &'a str,
    callee: &'a str,
    method: &'a str,
}

/// What every series counts into.
pub(crate) struct Shared {
    pub(crate) families: Families,
    names: Names,
}

impl Shared {
    /// Returns the label of a service that a peer has named.
    pub(crate) fn name<'a>(&self, name: &'a str) -> &'a str {
        self.names.label(name)
    }
}

/// The series of calls with the same labels.
pub(crate) struct Series {
    pub(crate) shared: Arc<Shared>,
    side: Side,
    kind: CallKind,
    pub(crate) caller: Box<str>,
    pub(crate) callee: Box<str>,
    pub(crate) method: Box<str>,
    succeeded: OfCalls,
    failed: OnceLock<OfCalls>,
    pub(crate) stream: Option<OfStreams>,
    /// Of a server.
    pub(crate) handlers: Option<OfHandlers>,
}

/// The series of handlers. They exist from the first call on, so that a rate of the first event is seen.
pub(crate) struct OfHandlers {
    pub(crate) dropped: IntCounter,
    pub(crate) sends_after_cancel: IntCounter,
}

/// The series that Kitex has too, of one status.
pub(crate) struct OfCalls {
    pub(crate) throughput: IntCounter,
    pub(crate) latency_us: Histogram,
}

/// The series of streams.
pub(crate) struct OfStreams {
    pub(crate) active: IntGauge,
    pub(crate) first_message: Histogram,
    pub(crate) gap: Histogram,
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
    durations: [OnceLock<Histogram>; 3],
}

/// How a stream ended.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Ok,
    Error,
    Canceled,
}

/// The messages of one direction.
pub(crate) struct Traffic {
    pub(crate) messages: IntCounter,
    pub(crate) bytes: IntCounter,
}

impl Series {
    fn new(shared: &Arc<Shared>, key: Key<'_>) -> Self {
        let Key { side, kind, caller, callee, method } = key;
        let (shared, families) = (shared.clone(), &shared.families);
        let stream = (kind == CallKind::Stream).then(|| OfStreams::new(families, key));
        let handlers = (side == Side::Server).then(|| OfHandlers::new(families, [callee, method]));
        let succeeded = OfCalls::new(families, key, "succeed");
        let [caller, callee, method] = [caller, callee, method].map(Into::into);
        let failed = OnceLock::new();
        Self { shared, side, kind, caller, callee, method, succeeded, failed, stream, handlers }
    }

    fn key(&self) -> Key<'_> {
        let Self { side, kind, caller, callee, method, .. } = self;
        Key { side: *side, kind: *kind, caller, callee, method }
    }

    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// Returns the series of calls that have succeeded or failed. Those that failed exist from the first failure on, as in
    /// Kitex.
    pub(crate) fn of_status(&self, failed: bool) -> &OfCalls {
        match failed {
            true => self.failed.get_or_init(|| OfCalls::new(&self.shared.families, self.key(), "error")),
            false => &self.succeeded,
        }
    }

    /// Returns the durations of streams that ended so; they exist from the first such end on.
    pub(crate) fn durations<'a>(&self, stream: &'a OfStreams, end: End) -> &'a Histogram {
        let [ok, error, canceled] = &stream.durations;
        let (durations, name) = match end {
            End::Ok => (ok, "ok"),
            End::Error => (error, "error"),
            End::Canceled => (canceled, "canceled"),
        };
        let [side, caller, callee, method] = self.key().stream_labels();
        let family = &self.shared.families.duration;
        durations.get_or_init(|| family.with_label_values(&[side, caller, callee, method, name]))
    }
}

impl<'a> Key<'a> {
    fn stream_labels(self) -> [&'a str; 4] {
        [side_name(self.side), self.caller, self.callee, self.method]
    }
}

impl OfCalls {
    fn new(families: &Families, key: Key<'_>, status: &str) -> Self {
        let OfSide { throughput, latency_us } = match key.side {
            Side::Client => &families.client,
            Side::Server => &families.server,
        };
        // Kitex's label for retries of a ping-pong call; there are none here.
        let labels = [key.caller, key.callee, key.method, status, "0"];
        Self {
            throughput: throughput.with_label_values(&labels),
            latency_us: latency_us.with_label_values(&labels),
        }
    }
}

impl OfHandlers {
    fn new(families: &Families, labels: [&str; 2]) -> Self {
        Self {
            dropped: families.handlers_dropped.with_label_values(&labels),
            sends_after_cancel: families.sends_after_cancel.with_label_values(&labels),
        }
    }
}

impl OfStreams {
    fn new(families: &Families, key: Key<'_>) -> Self {
        let labels = key.stream_labels();
        let [side, caller, callee, method] = labels;
        let traffic = |direction| {
            let labels = [side, caller, callee, method, direction];
            let messages = families.messages.with_label_values(&labels);
            Traffic { messages, bytes: families.bytes.with_label_values(&labels) }
        };
        Self {
            active: families.active.with_label_values(&labels),
            first_message: families.first_message.with_label_values(&labels),
            gap: families.gap.with_label_values(&labels),
            sent: traffic("sent"),
            received: traffic("received"),
            durations: Default::default(),
        }
    }
}

pub(crate) const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// Every series, by its labels.
pub(crate) struct Table {
    shared: Arc<Shared>,
    limit: usize,
    hash: foldhash::fast::RandomState,
    /// By the hash of the key; a hash with several keys has a list.
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// The first ones: most programs have few, which are found faster without a hash.
    first: Vec<Arc<Series>>,
    by_hash: HashMap<u64, Vec<Arc<Series>>, BuildHasherDefault<Hashed>>,
    len: usize,
}

/// How many series are compared one after the other.
const FIRST: usize = 4;

impl Known {
    fn find_first(&self, key: Key<'_>) -> Option<Arc<Series>> {
        self.first.iter().find(|series| series.key() == key).cloned()
    }

    fn find(&self, hash: u64, key: Key<'_>) -> Option<Arc<Series>> {
        self.by_hash.get(&hash)?.iter().find(|series| series.key() == key).cloned()
    }
}

impl Table {
    pub(crate) fn new(families: Families, limit: usize, max_names: usize) -> Self {
        let shared = Arc::new(Shared { families, names: Names::new(max_names) });
        Self { shared, limit, hash: Default::default(), known: RwLock::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).len
    }

    /// Returns the series of a call.
    pub(crate) fn of(&self, call: &CallStart<'_>) -> Arc<Series> {
        let caller = call.caller.as_deref().filter(|caller| !caller.is_empty()).unwrap_or(UNKNOWN);
        let method = call.method.map_or(UNKNOWN, |method| method.name());
        let key = Key { side: call.side, kind: call.kind, caller, callee: &call.callee, method };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.find_first(key).or_else(|| known.find(self.hash.hash_one(key), key));
        drop(known);
        found.unwrap_or_else(|| self.add(key))
    }

    fn add(&self, key: Key<'_>) -> Arc<Series> {
        let named = |name| if name == UNKNOWN { UNKNOWN } else { self.shared.name(name) };
        // Only a server's caller is what a peer says.
        let caller = if key.side == Side::Server { named(key.caller) } else { key.caller };
        let mut key = Key { caller, ..key };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut hash = self.hash.hash_one(key);
        if let Some(series) = known.find(hash, key) {
            return series;
        }
        if known.len >= self.limit {
            key = Key { caller: OTHER, callee: OTHER, method: OTHER, ..key };
            hash = self.hash.hash_one(key);
            if let Some(series) = known.find(hash, key) {
                return series;
            }
        }
        let series = Arc::new(Series::new(&self.shared, key));
        known.by_hash.entry(hash).or_default().push(series.clone());
        if known.first.len() < FIRST {
            known.first.push(series.clone());
        }
        known.len = known.len.saturating_add(1);
        series
    }
}

/// Takes a number that is a hash as its own hash.
#[derive(Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
