//! The instances of a service: read once, and then watched from that revision on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Value, json};
use stream_core::client::{Discover, Instance, InstanceSet, SharedInstances, WatchedInstances};
use stream_core::clock;
use stream_core::log_limit::LogLimit;
use tokio::runtime::Handle;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use crate::error::{EtcdError, shown};
use crate::http::{Gateway, decode, encode, number};
use crate::record;

/// The pause before instances are read again after an error: the first, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The instances of a service in etcd, for the client's `addresses`. Clones are the same source.
#[derive(Clone, Debug)]
pub struct EtcdInstances(WatchedInstances);

impl EtcdInstances {
    pub(crate) fn start(gateway: Arc<Gateway>, prefix: String, resync: Duration) -> Result<Self, EtcdError> {
        Handle::try_current().map_err(|_| EtcdError::NoRuntime)?;
        let watched = WatchedInstances::new(move |instances| {
            let (gateway, prefix) = (gateway.clone(), prefix.clone());
            let log = LogLimit::new();
            Follower { gateway, prefix, resync, instances, known: None, pause: FIRST_PAUSE, log }.follow()
        });
        // Begins to read at once: the first call need not wait for that.
        let _ = watched.poll_instances(&mut Context::from_waker(Waker::noop()), None);
        Ok(Self(watched))
    }
}

impl Discover for EtcdInstances {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        self.0.poll_instances(cx, seen)
    }
}

/// The keys of a service and their instances.
#[derive(Debug, Default)]
struct Known(BTreeMap<Vec<u8>, Instance>);

/// What the task does: it reads the instances, watches them, and begins again when that ends.
struct Follower {
    gateway: Arc<Gateway>,
    prefix: String,
    resync: Duration,
    instances: SharedInstances,
    /// What was read or watched last.
    known: Option<Known>,
    /// The pause after the next error.
    pause: Duration,
    /// Bounds the log lines about values.
    log: LogLimit,
}

impl Follower {
    async fn follow(mut self) {
        loop {
            let began = clock::now();
            let ended = match self.read().await {
                Ok(revision) => self.watch(revision).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                // One that has held for a while.
                if clock::now().saturating_duration_since(began) > LAST_PAUSE {
                    self.pause = FIRST_PAUSE;
                }
                warn!(prefix = self.prefix, %error, "instances are not followed now: the last ones stay");
                sleep(self.pause).await;
                self.pause = self.pause.saturating_mul(2).min(LAST_PAUSE);
            }
        }
    }

    /// Returns the fields of a request that select the instances.
    fn range(&self) -> (String, String) {
        (encode(&self.prefix), encode(record::range_end(&self.prefix)))
    }

    /// Reads the instances. Returns their revision.
    async fn read(&mut self) -> Result<i64, EtcdError> {
        let (key, range_end) = self.range();
        let request = json!({ "key": key, "range_end": range_end });
        let answer = self.gateway.call("/v3/kv/range", &request).await?;
        let revision = number(answer.pointer("/header/revision"));
        let revision = revision.ok_or_else(|| EtcdError::Protocol("no revision".to_owned()))?;
        let mut read = Known::default();
        answer
            .get("kvs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .for_each(|pair| read.put(pair, &self.log));
        if self.known.as_ref().is_none_or(|known| known.0 != read.0) {
            self.instances.set(read.0.values().cloned());
        }
        self.known = Some(read);
        Ok(revision)
    }

    /// Follows the changes after `revision` until it is time to read all of them again.
    async fn watch(&mut self, revision: i64) -> Result<(), EtcdError> {
        let (key, range_end) = self.range();
        let from = revision.saturating_add(1).to_string();
        let request = json!({ "key": key, "range_end": range_end, "start_revision": from });
        let mut results = self.gateway.stream("/v3/watch", &json!({ "create_request": request })).await?;
        let until = Instant::now().checked_add(self.resync);
        loop {
            let next = match until {
                Some(until) => timeout_at(until, results.next()).await,
                None => Ok(results.next().await),
            };
            let Ok(next) = next else { return Ok(()) };
            // Results that have come at once need no wait.
            consume_budget().await;
            let result = next?.ok_or_else(|| EtcdError::Lost("the watch has ended".to_owned()))?;
            // Compacted: what is missed has to be read.
            if result.get("canceled").and_then(Value::as_bool) == Some(true) {
                let reason = result.get("cancel_reason").and_then(Value::as_str).unwrap_or("compacted");
                return Err(EtcdError::Lost(format!("the watch was canceled: {}", shown(reason))));
            }
            let known = self.known.get_or_insert_default();
            if known.apply(&result, &self.log) {
                self.instances.set(known.0.values().cloned());
            }
        }
    }
}

impl Known {
    /// Applies the events of a watch. Returns whether there were any.
    fn apply(&mut self, result: &Value, log: &LogLimit) -> bool {
        let events = result.get("events").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for event in events {
            let Some(pair) = event.get("kv") else { continue };
            match event.get("type").and_then(Value::as_str) {
                Some("DELETE") => {
                    decode(pair.get("key")).into_iter().for_each(|key| drop(self.0.remove(&key)));
                }
                _ => self.put(pair, log),
            }
        }
        !events.is_empty()
    }

    fn put(&mut self, pair: &Value, log: &LogLimit) {
        let (Some(key), Some(value)) = (decode(pair.get("key")), decode(pair.get("value"))) else { return };
        match record::decode(&value) {
            Some(instance) => drop(self.0.insert(key, instance)),
            None => {
                if let Some(suppressed) = log.allows(clock::now()) {
                    let key = shown(&String::from_utf8_lossy(&key));
                    warn!(key, suppressed, "the value is not an instance");
                }
                self.0.remove(&key);
            }
        }
    }
}
