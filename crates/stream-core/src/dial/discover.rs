//! The instances of a service, and sources of them. Knows nothing of how an address is dialed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;

/// One server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// Its address, as the client's [`Connector`](super::Connector) dials it: `host:port`, or the path of a Unix socket.
    pub address: Arc<str>,
    /// Its share of the load, relative to the other instances. At least 1. Default: 10, as in Kitex.
    pub weight: u32,
    /// Its tags, of which a call may require one.
    pub tags: BTreeMap<String, String>,
}

impl Instance {
    /// Returns the instance at `address`, without tags.
    pub fn new(address: impl Into<Arc<str>>) -> Self {
        Self { address: address.into(), weight: DEFAULT_WEIGHT, tags: BTreeMap::new() }
    }

    /// Sets the weight; zero counts as 1.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight.max(1);
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }
}

/// The weight of an instance of which none is known, as Kitex's registries have it.
const DEFAULT_WEIGHT: u32 = 10;

impl From<&str> for Instance {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

impl From<String> for Instance {
    fn from(address: String) -> Self {
        Self::new(address)
    }
}

impl From<&String> for Instance {
    fn from(address: &String) -> Self {
        Self::new(address.as_str())
    }
}

/// The instances of a service at one time. A clone is cheap.
#[derive(Clone, Debug)]
pub struct InstanceSet {
    version: u64,
    instances: Arc<[Instance]>,
}

impl InstanceSet {
    /// Returns a set. `version` differs from those of the source's other sets.
    pub fn new(version: u64, instances: impl IntoIterator<Item = impl Into<Instance>>) -> Self {
        Self { version, instances: instances.into_iter().map(Into::into).collect() }
    }

    /// Returns the version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the instances.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }
}

/// A source of the instances of a service, such as a list, a file or a service registry: a stream of sets, each of
/// which replaces the one before.
///
/// Connections to an instance that is no longer in the set take no new streams, and close after their last one. A set
/// without instances changes nothing for a client that has some: a registry that fails must not cost a working service.
///
/// ```
/// use stream_core::client::{Instance, SharedInstances};
///
/// let instances = SharedInstances::default();
/// // Passed to a client, and changed by the task that watches a registry:
/// instances.set(["10.0.0.1:8888", "10.0.0.2:8888"]);
/// instances.set([Instance::new("10.0.0.3:8888").with_weight(20).with_tag("zone", "b")]);
/// ```
pub trait Discover: fmt::Debug + Send + Sync + 'static {
    /// Returns the current set once its version differs from `seen`; `None`: once there is a set, which is the first of
    /// the stream. Called for each new stream and call, with a waker only for the first set; must not block. If it
    /// panics, a client without a set fails the call, and others keep their set.
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet>;

    /// Returns whether the first set is the only one. Default: `false`.
    fn is_fixed(&self) -> bool {
        false
    }
}

impl Discover for Box<dyn Discover> {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        (**self).poll_instances(cx, seen)
    }

    fn is_fixed(&self) -> bool {
        (**self).is_fixed()
    }
}

/// A fixed list of instances.
#[derive(Clone, Debug)]
pub struct StaticAddresses(InstanceSet);

impl StaticAddresses {
    /// Returns a source of these instances: addresses (`host:port`), or [`Instance`]s with weights and tags.
    pub fn new(instances: impl IntoIterator<Item = impl Into<Instance>>) -> Self {
        Self(InstanceSet::new(0, instances))
    }
}

impl Discover for StaticAddresses {
    fn poll_instances(&self, _: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        match seen {
            None => Poll::Ready(self.0.clone()),
            Some(_) => Poll::Pending,
        }
    }

    fn is_fixed(&self) -> bool {
        true
    }
}

/// Instances that the program sets, for example from the watch of a service registry. Clones are the same source.
/// Before the first set, calls wait for one.
#[derive(Clone, Debug, Default)]
pub struct SharedInstances(Arc<Mutex<Sets>>);

/// The current set of a source, and the calls that wait for the first one.
#[derive(Debug, Default)]
struct Sets {
    current: Option<InstanceSet>,
    wakers: Vec<Waker>,
}

impl SharedInstances {
    /// Replaces the set of instances.
    pub fn set(&self, instances: impl IntoIterator<Item = impl Into<Instance>>) {
        let instances: Vec<Instance> = instances.into_iter().map(Into::into).collect();
        let wakers = self.0.lock().replace(instances);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes the calls that wait for the first set, so that they ask for it again.
    pub(super) fn wake(&self) {
        let wakers = std::mem::take(&mut self.0.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns how many calls wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().wakers.len()
    }
}

impl Discover for SharedInstances {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        self.0.lock().poll(cx, seen)
    }
}

impl Sets {
    /// Replaces the set. Returns the wakers to wake.
    fn replace(&mut self, instances: Vec<Instance>) -> Vec<Waker> {
        let version = self.current.as_ref().map_or(0, |current| current.version.wrapping_add(1));
        self.current = Some(InstanceSet { version, instances: instances.into() });
        std::mem::take(&mut self.wakers)
    }

    fn poll(&mut self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        match &self.current {
            Some(current) if seen != Some(current.version) => return Poll::Ready(current.clone()),
            Some(_) => {}
            None if self.wakers.iter().any(|waker| waker.will_wake(cx.waker())) => {}
            None => self.wakers.push(cx.waker().clone()),
        }
        Poll::Pending
    }
}
