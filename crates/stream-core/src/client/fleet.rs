//! The instances of a client's service: follows their source, and selects one for each stream and call.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kerrors::Error;

use super::balance::{Balance, Candidate, Candidates};
use super::connect::Source;
use super::endpoint::{Endpoint, Load, Others};
use super::outcomes::Ejections;
use super::pool::{Pool, PoolKind, PoolStats};
use crate::call::OutgoingCall;
use crate::dial::{
    Backoff, Connector, DialCounts, Dialer, Discover, Instance, InstanceSet, Tried, no_instance,
};
use crate::guard::{guarded, report};
use crate::stream::Lease;
use crate::sync::Mutex;
use crate::transport::{BoxFuture, SelectInstance, Selected, Transport};
use crate::{clock, rt};

/// The instances of a service.
#[derive(Debug)]
pub(super) struct Fleet {
    source: Box<dyn Discover>,
    balance: Arc<dyn Balance>,
    maker: Maker,
    members: Mutex<Option<Arc<Members>>>,
    /// The delay after a call that could reach no instance.
    backoff: Mutex<Backoff>,
    is_down: AtomicBool,
    /// Addresses that calls have named themselves, the oldest first.
    named: Mutex<VecDeque<Arc<Endpoint>>>,
}

/// How an endpoint reaches its instance.
pub(super) struct Maker {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) connect_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) pool: PoolKind,
    pub(super) counts: Arc<DialCounts>,
    pub(super) ejections: Ejections,
}

/// The instances of one set.
#[derive(Debug)]
struct Members {
    version: u64,
    /// One for each endpoint, in the same order.
    candidates: Vec<Candidate>,
    endpoints: Vec<Arc<Endpoint>>,
    /// Their indexes by address: a source may have thousands.
    by_address: HashMap<Arc<str>, usize>,
    /// There is one, and will never be another.
    is_single: bool,
}

/// The instance that a call goes to.
pub(super) struct Selection {
    pub(super) endpoint: Arc<Endpoint>,
    /// `None` if there is nothing to balance.
    pub(super) load: Option<Load>,
    pub(super) others: Others,
}

/// How long a call tries one instance after the other that cannot be reached, unless the timeout of a dial is longer. A source may
/// have thousands of them.
const TRIES: Duration = Duration::from_secs(5);

/// Addresses named by calls whose connections are kept.
const MAX_NAMED: usize = 64;

impl Fleet {
    pub(super) fn new(source: impl Discover, balance: Arc<dyn Balance>, maker: Maker) -> Self {
        Self {
            source: Box::new(source),
            balance,
            maker,
            members: Mutex::default(),
            backoff: Mutex::default(),
            is_down: AtomicBool::new(false),
            named: Mutex::default(),
        }
    }

    /// Selects the instance that a call goes to, none that was tried.
    ///
    /// # Errors
    /// All were tried, then that of the last; there is none, or none with the call's tag.
    pub(super) async fn select(
        &self,
        call: &OutgoingCall<'_>,
        tried: &mut Tried,
    ) -> Result<Selection, Error> {
        if let Some(address) = call.address {
            let endpoint = self.named(address);
            return match tried.has(endpoint.address()).then(|| tried.last_error()).flatten() {
                Some(error) => Err(error),
                None => Ok(Selection { endpoint, load: None, others: Others::None }),
            };
        }
        let members = self.members().await?;
        match &*members.endpoints {
            [endpoint] if members.is_single && call.tag.is_none() => match tried.last_error() {
                Some(error) => Err(error),
                None => Ok(Selection { endpoint: endpoint.clone(), load: None, others: Others::None }),
            },
            endpoints => {
                let is_any = call.tag.is_none() && tried.is_empty();
                match is_any && endpoints.iter().all(|endpoint| endpoint.is_healthy()) {
                    true => {
                        self.recovered();
                        self.pick(&members, None, call, tried)
                    }
                    false => self.choose(&members, call, tried),
                }
            }
        }
    }

    /// Selects one of the instances that have the call's tag, were not tried, and are preferred.
    fn choose(
        &self,
        members: &Members,
        call: &OutgoingCall<'_>,
        tried: &mut Tried,
    ) -> Result<Selection, Error> {
        if tried.lasts(TRIES.max(self.maker.connect_timeout)) {
            // It waits for one whose dial still runs, unless that has failed too.
            tried.keep_slow(usize::from(tried.last_error().is_none()));
            return self.choose_slow(members, call, tried);
        }
        let left = members.untried(call, tried);
        let reachable = members.filter(&left, |endpoint| !endpoint.dialer.is_failing());
        let failing = members.filter(&left, |endpoint| endpoint.dialer.is_failing());
        match reachable.is_empty() {
            true => self.allow_ejected(members, &failing)?,
            false => {
                members.of(&failing).for_each(Endpoint::probe);
                self.recovered();
            }
        }
        let mut chosen = if reachable.is_empty() { left } else { reachable };
        let healthy = members.filter(&chosen, |endpoint| !endpoint.is_outlier());
        // If most instances fail, the cause is elsewhere.
        if healthy.len().saturating_mul(2) >= chosen.len() {
            chosen = healthy;
        }
        let others =
            members.filter(&chosen, |endpoint| tried.refused_by.as_ref() != Some(endpoint.address()));
        if !others.is_empty() {
            chosen = others;
        } else if tried.is_closed && !failing.is_empty() {
            // It leaves, and others may be back.
            members.of(&failing).for_each(|endpoint| endpoint.dialer.lift_backoff());
            chosen = failing;
        }
        self.pick(members, Some(&chosen), call, tried)
    }

    /// No instance is left that could be reached before: those that could not are dialed at once, unless a call has just
    /// done so in vain.
    fn allow_ejected(&self, members: &Members, failing: &[usize]) -> Result<(), Error> {
        if let Some(error) = self.backoff.lock().refuses(clock::now()) {
            return Err(error);
        }
        members.of(failing).for_each(|endpoint| endpoint.dialer.lift_backoff());
        Ok(())
    }

    /// An instance can be reached: the next time that none can, the delay begins with the shortest.
    fn recovered(&self) {
        if self.is_down.load(Ordering::Acquire) && self.is_down.swap(false, Ordering::AcqRel) {
            let before = self.backoff.lock().succeed();
            // Without the lock: it may be an error of the user's connector.
            drop(before);
        }
    }

    /// Lets the balancer select one of the `chosen` instances, or of all.
    fn pick(
        &self,
        members: &Members,
        chosen: Option<&[usize]>,
        call: &OutgoingCall<'_>,
        tried: &mut Tried,
    ) -> Result<Selection, Error> {
        let candidates = Candidates::new(&members.candidates, chosen);
        let picked = match candidates.len() {
            0 => return self.choose_slow(members, call, tried),
            1 => 0,
            count => {
                let picked = guarded(|| self.balance.pick(&candidates, call)).unwrap_or_else(|text| {
                    report("a balancer", &text);
                    0
                });
                if picked < count { picked } else { 0 }
            }
        };
        let at = |index: usize| match chosen {
            None => members.endpoints.get(index),
            Some(chosen) => members.endpoints.get(*chosen.get(index)?),
        };
        let Some(endpoint) = at(picked) else { return self.choose_slow(members, call, tried) };
        let has_others = candidates.len() > 1 || tried.has_slow();
        let others = match has_others && !endpoint.pool.has_open() {
            true => {
                let mut others = (0..candidates.len()).filter(|index| *index != picked).filter_map(at);
                if others.any(|other| other.pool.has_open()) { Others::Open } else { Others::Untried }
            }
            false => Others::None,
        };
        Ok(Selection { endpoint: endpoint.clone(), load: Some(Load::of(endpoint)), others })
    }

    /// Returns an instance whose dial takes long, if all others have failed. Several are waited for in turn.
    fn choose_slow(
        &self,
        members: &Members,
        call: &OutgoingCall<'_>,
        tried: &mut Tried,
    ) -> Result<Selection, Error> {
        while let Some((address, limit)) = tried.next_slow() {
            if let Some(endpoint) = members.endpoint(&address) {
                let (load, others) = (Some(Load::of(endpoint)), limit.map_or(Others::None, Others::Slow));
                return Ok(Selection { endpoint: endpoint.clone(), load, others });
            }
        }
        if let Some(error) = tried.last_error() {
            let before = self.backoff.lock().fail(error.clone(), clock::now());
            drop(before);
            self.is_down.store(true, Ordering::Release);
            return Err(error);
        }
        Err(match call.tag {
            Some((key, value)) => no_instance(&format!("no instance has the tag {key}={value}")),
            None => no_instance("the source of addresses is empty"),
        })
    }

    /// Returns the instances of the source's current set.
    async fn members(&self) -> Result<Arc<Members>, Error> {
        let known = self.members.lock().clone();
        match known {
            Some(known) if self.source.is_fixed() => Ok(known),
            Some(known) => Ok(self.next_members(known)),
            None => self.first_members().await,
        }
    }

    /// Returns the instances of the source's current set, where `known` are those of the one before.
    fn next_members(&self, known: Arc<Members>) -> Arc<Members> {
        let mut cx = Context::from_waker(Waker::noop());
        match guarded(|| self.source.poll_instances(&mut cx, Some(known.version))) {
            Ok(Poll::Ready(set)) if !set.instances().is_empty() => self.replace(&set),
            Ok(_) => known,
            Err(text) => {
                report("a source of addresses", &text);
                known
            }
        }
    }

    async fn first_members(&self) -> Result<Arc<Members>, Error> {
        // Without a timer if there is a set.
        let first = self.poll_first(&mut Context::from_waker(Waker::noop()));
        let set = match first {
            Poll::Ready(first) => first?,
            Poll::Pending => {
                rt::check()?;
                let first = poll_fn(|cx| self.poll_first(cx));
                let first = tokio::time::timeout(self.maker.connect_timeout, first).await;
                first.unwrap_or_else(|_| Err(no_instance("the source of addresses has none yet")))?
            }
        };
        match set.instances() {
            [] => Err(no_instance("the source of addresses is empty")),
            _ => Ok(self.replace(&set)),
        }
    }

    fn poll_first(&self, cx: &mut Context<'_>) -> Poll<Result<InstanceSet, Error>> {
        let panicked = |text| Error::network(format!("panic: [happened in the source of addresses] {text}"));
        match guarded(|| self.source.poll_instances(cx, None)) {
            Ok(polled) => polled.map(Ok),
            Err(text) => Poll::Ready(Err(panicked(text))),
        }
    }

    /// Replaces the instances by those of `set`. Connections to the others are retired.
    fn replace(&self, set: &InstanceSet) -> Arc<Members> {
        let (members, before) = {
            let mut current = self.members.lock();
            if let Some(current) = current.as_ref().filter(|current| current.version == set.version()) {
                return current.clone();
            }
            let mut members = Members::new(set.version());
            for instance in set.instances() {
                if members.endpoint(&instance.address).is_some() {
                    continue;
                }
                let known = current.as_ref().and_then(|known| known.endpoint(&instance.address)).cloned();
                let endpoint = known.unwrap_or_else(|| self.maker.endpoint(&instance.address));
                let candidate = Candidate { instance: instance.clone(), load: endpoint.load.clone() };
                members.push(candidate, endpoint);
            }
            members.is_single = self.source.is_fixed() && members.endpoints.len() == 1;
            let members = Arc::new(members);
            (members.clone(), current.replace(members))
        };
        let before = before.iter().flat_map(|before| &before.endpoints);
        before
            .filter(|endpoint| members.endpoint(endpoint.address()).is_none())
            .for_each(|gone| gone.pool.retire());
        members
    }

    /// Returns the endpoint of an instance of the current set.
    fn member(&self, address: &str) -> Option<Arc<Endpoint>> {
        self.members.lock().as_ref()?.endpoint(address).cloned()
    }

    /// Returns the endpoint of an address that a call has named.
    fn named(&self, address: &str) -> Arc<Endpoint> {
        if let Some(known) = self.member(address) {
            return known;
        }
        let mut named = self.named.lock();
        if let Some(known) = named.iter().find(|endpoint| **endpoint.address() == *address) {
            return known.clone();
        }
        let endpoint = self.maker.endpoint(&Arc::from(address));
        named.push_back(endpoint.clone());
        let oldest = if named.len() > MAX_NAMED { named.pop_front() } else { None };
        drop(named);
        oldest.into_iter().for_each(|oldest| oldest.pool.retire());
        endpoint
    }

    /// A stream was refused by the instance at `address`, or lost. If there is no open connection to it any more, it shuts
    /// down or restarts: others are preferred.
    pub(super) fn refused_by(&self, address: &Arc<str>) {
        let is_it = |endpoint: &&Arc<Endpoint>| endpoint.address() == address;
        let refused = self.member(address).or_else(|| self.named.lock().iter().find(is_it).cloned());
        refused.into_iter().for_each(|endpoint| endpoint.connection_lost());
    }

    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let members = self.members.lock().clone();
        let named = self.named.lock().clone();
        members.iter().flat_map(|members| members.endpoints.iter().cloned()).chain(named).collect()
    }

    pub(super) async fn close(&self) {
        let endpoints = self.endpoints();
        let retired: Vec<_> = endpoints.iter().flat_map(|endpoint| endpoint.pool.close()).collect();
        for connection in retired.iter().filter(|connection| connection.live_streams() == 0) {
            connection.closed().await;
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let (dials, failed_dials) = self.maker.counts.get();
        let mut stats = PoolStats { dials, failed_dials, ..PoolStats::default() };
        for endpoint in self.endpoints() {
            endpoint.pool.add_to(&mut stats);
        }
        let members = self.members.lock().clone();
        let instances = members.as_ref().map_or(&[][..], |members| &members.endpoints);
        let count = |is: fn(&Endpoint) -> bool| instances.iter().filter(|endpoint| is(endpoint)).count();
        stats.instances = instances.len();
        stats.unreachable_instances = count(|endpoint| endpoint.dialer.is_failing());
        stats.ejected_instances = count(Endpoint::is_outlier);
        stats.ejections = self.maker.ejections.count();
        stats
    }
}

impl Members {
    fn new(version: u64) -> Self {
        let (candidates, endpoints, by_address) = (Vec::new(), Vec::new(), HashMap::new());
        Self { version, candidates, endpoints, by_address, is_single: false }
    }

    fn push(&mut self, candidate: Candidate, endpoint: Arc<Endpoint>) {
        self.by_address.insert(endpoint.address().clone(), self.endpoints.len());
        self.candidates.push(candidate);
        self.endpoints.push(endpoint);
    }

    fn endpoint(&self, address: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(*self.by_address.get(address)?)
    }

    /// Returns the indexes of those that have the call's tag and were not tried.
    fn untried(&self, call: &OutgoingCall<'_>, tried: &Tried) -> Vec<usize> {
        let has_tag = |instance: &Instance| {
            call.tag.is_none_or(|(key, value)| instance.tags.get(key).is_some_and(|has| has == value))
        };
        let all = self.candidates.iter().map(|candidate| &candidate.instance).enumerate();
        all.filter(|(_, instance)| has_tag(instance) && !tried.has(&instance.address))
            .map(|(index, _)| index)
            .collect()
    }

    fn of(&self, indexes: &[usize]) -> impl Iterator<Item = &Arc<Endpoint>> {
        indexes.iter().filter_map(|index| self.endpoints.get(*index))
    }

    fn filter(&self, indexes: &[usize], keep: impl Fn(&Endpoint) -> bool) -> Vec<usize> {
        let is_kept = |index: &&usize| self.endpoints.get(**index).is_some_and(|endpoint| keep(endpoint));
        indexes.iter().filter(is_kept).copied().collect()
    }
}

impl Maker {
    fn endpoint(&self, address: &Arc<str>) -> Arc<Endpoint> {
        let Self { transport, connector, connect_timeout, idle_timeout, pool, counts, ejections } = self;
        let dialer = Dialer::new(address.clone(), connector.clone(), *connect_timeout, counts.clone());
        let dialer = Arc::new(dialer);
        let source = Source::new(dialer.clone(), transport.clone(), *idle_timeout);
        Arc::new(Endpoint::new(dialer, Pool::new(source, *pool), ejections.clone()))
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maker").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl SelectInstance for Fleet {
    fn select<'a>(
        &'a self,
        call: &'a OutgoingCall<'a>,
        tried: &'a mut Tried,
    ) -> BoxFuture<'a, Result<Selected, Error>> {
        Box::pin(async move {
            let Selection { endpoint, load, others } = self.select(call, tried).await?;
            let load = load.map(|load| Box::new(load) as Lease);
            Ok(Selected::new(endpoint.dialer.clone(), load, others.limit(), call.deadline))
        })
    }

    fn has(&self, address: &str) -> bool {
        let members = self.members.lock().clone();
        members.is_some_and(|members| members.endpoint(address).is_some())
            || self.named.lock().iter().any(|endpoint| **endpoint.address() == *address)
    }
}
