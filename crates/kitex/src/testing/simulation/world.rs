//! The state of a simulated network: hosts, links, faults, connections, and when what is under way arrives. Every change is
//! made here, under one lock; tasks are woken by the caller, without it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use stream_core::io::{Address, Io};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::{Connection, Packet, Side};
use super::link::Link;
use super::random::Random;
use super::trace::Trace;

/// The time after which a partition ends the connections across it: that of `TCP_USER_TIMEOUT` on the sockets of this crate.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Two hosts, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair(pub(super) Arc<str>, pub(super) Arc<str>);

impl Pair {
    pub(super) fn of(first: &str, second: &str) -> Self {
        let (low, high) = if first <= second { (first, second) } else { (second, first) };
        Self(low.into(), high.into())
    }
}

/// What happens at a time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Packets may arrive at this end.
    Arrivals(u64, Side),
    /// This partition, if it still lasts, ends connections.
    UserTimeout(Pair, u64),
}

#[derive(Debug)]
struct Host {
    address: Ipv4Addr,
    is_down: bool,
}

#[derive(Debug)]
pub(super) struct World {
    began: Instant,
    random: Random,
    pub(super) default_link: Link,
    pub(super) links: BTreeMap<Pair, Link>,
    hosts: BTreeMap<Arc<str>, Host>,
    /// By address.
    listeners: BTreeMap<String, mpsc::Sender<Io>>,
    /// With the number of each.
    partitions: BTreeMap<Pair, u64>,
    /// From the first host to the second.
    stalls: BTreeSet<(Arc<str>, Arc<str>)>,
    /// In addition to the latency of the link.
    delays: BTreeMap<Pair, Duration>,
    /// Pairs between which something was dialed.
    used: BTreeSet<Pair>,
    pub(super) connections: BTreeMap<u64, Connection>,
    /// The last number of a connection, a partition or a due time.
    last: u64,
    due: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    /// Tasks to wake when the lock is released.
    pub(super) wakers: Vec<Waker>,
    pub(super) trace: Trace,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            began: Instant::now(),
            random: Random::new(seed).fork(1),
            default_link: Link::default(),
            links: BTreeMap::new(),
            hosts: BTreeMap::new(),
            listeners: BTreeMap::new(),
            partitions: BTreeMap::new(),
            stalls: BTreeSet::new(),
            delays: BTreeMap::new(),
            used: BTreeSet::new(),
            connections: BTreeMap::new(),
            last: 0,
            due: BinaryHeap::new(),
            wakers: Vec::new(),
            trace: Trace::default(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn note(&mut self, text: String) {
        let at = self.elapsed();
        self.trace.note(at, text);
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Returns the number of a connection that is being dialed, and what draws its delays.
    pub(super) fn begin_dial(&mut self, from: &str, to: &str) -> (u64, Random) {
        let number = self.next();
        self.used.insert(Pair::of(from, to));
        (number, self.random.fork(number))
    }

    fn host(&mut self, name: &str) -> &mut Host {
        let number = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let first = u32::from(Ipv4Addr::new(10, 0, 0, 0));
        let address = Ipv4Addr::from(first.saturating_add(number));
        self.hosts.entry(name.into()).or_insert(Host { address, is_down: false })
    }

    pub(super) fn is_down(&mut self, host: &str) -> bool {
        self.host(host).is_down
    }

    /// Returns the IP address of `host`, which is made up.
    pub(super) fn ip(&mut self, host: &str, port: u16) -> Address {
        Address::Tcp(SocketAddr::from((self.host(host).address, port)))
    }

    pub(super) fn listen(&mut self, address: &str, accepts: mpsc::Sender<Io>) {
        self.listeners.insert(address.to_owned(), accepts);
    }

    pub(super) fn listener(&self, address: &str) -> Option<mpsc::Sender<Io>> {
        self.listeners.get(address).cloned()
    }

    pub(super) fn link(&self, from: &str, to: &str) -> &Link {
        self.links.get(&Pair::of(from, to)).unwrap_or(&self.default_link)
    }

    /// Draws how long a packet between two hosts is under way now.
    pub(super) fn latency(&self, from: &str, to: &str, random: &mut Random) -> Duration {
        let delay = self.delays.get(&Pair::of(from, to)).copied().unwrap_or_default();
        self.link(from, to).next_latency(random) + delay
    }

    pub(super) fn connect(&mut self, number: u64, hosts: [&str; 2], random: &Random) {
        let [from, to] = hosts;
        let capacity = self.link(from, to).capacity();
        let connection = Connection::new([from.into(), to.into()], random, capacity, Instant::now());
        self.connections.insert(number, connection);
        self.note(format!("connection {number}: {from} > {to}"));
    }

    /// Sends what `side` of a connection has written, in pieces.
    pub(super) fn send_bytes(&mut self, number: u64, side: Side, mut bytes: bytes::Bytes) {
        while !bytes.is_empty() {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            let (from, to) = (connection.end(side).host.clone(), connection.end(side.other()).host.clone());
            let link = self.links.get(&Pair::of(&from, &to)).unwrap_or(&self.default_link);
            let size = link.next_piece(&mut connection.end_mut(side).random).min(bytes.len());
            self.send(number, side, Packet::Bytes(bytes.split_to(size)));
        }
    }

    /// Puts a packet of `side` under way, behind those that it has sent before.
    pub(super) fn send(&mut self, number: u64, side: Side, packet: Packet) {
        let Some(mut connection) = self.connections.remove(&number) else { return };
        let (from, to) = (connection.end(side).host.clone(), connection.end(side.other()).host.clone());
        let size = if let Packet::Bytes(bytes) = &packet { bytes.len() } else { 0 };
        let transmission = self.link(&from, &to).transmission(size);
        let sender = connection.end_mut(side);
        sender.busy_until = sender.busy_until.max(Instant::now()) + transmission;
        let arrives = sender.busy_until + self.latency(&from, &to, &mut sender.random);
        let receiver = connection.end_mut(side.other());
        let last = receiver.under_way.back().map(|(at, _)| *at);
        let arrives = last.map_or(arrives, |last| last.max(arrives));
        receiver.under_way.push_back((arrives, packet));
        self.connections.insert(number, connection);
        if last.is_none() {
            self.add_due(arrives, Due::Arrivals(number, side.other()));
        }
    }

    fn add_due(&mut self, at: Instant, due: Due) {
        let number = self.next();
        self.due.push(Reverse((at, number, due)));
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Does what is due.
    pub(super) fn run_due(&mut self) {
        let now = Instant::now();
        while self.next_due().is_some_and(|at| at <= now) {
            match self.due.pop() {
                Some(Reverse((_, _, Due::Arrivals(number, side)))) => self.deliver(number, side, now),
                Some(Reverse((_, _, Due::UserTimeout(pair, number)))) => self.time_out(&pair, number),
                None => {}
            }
        }
    }

    /// Delivers to `side` what arrives until `now`, unless nothing passes.
    fn deliver(&mut self, number: u64, side: Side, now: Instant) {
        while let Some(connection) = self.connections.get_mut(&number) {
            let (from, to) = (connection.end(side.other()).host.clone(), connection.end(side).host.clone());
            let end = connection.end_mut(side);
            let Some(&(at, _)) = end.under_way.front() else { return };
            if self.stalls.contains(&(from.clone(), to.clone()))
                || self.partitions.contains_key(&Pair::of(&from, &to))
            {
                return;
            }
            if at > now {
                return self.add_due(at, Due::Arrivals(number, side));
            }
            let Some((_, packet)) = end.under_way.pop_front() else { return };
            let elapsed = self.began.elapsed();
            self.trace.arrived(elapsed, number, side == Side::Server, &packet);
            let (wakers, reset) = connection.arrive(side, packet);
            self.wakers.extend(wakers);
            if reset {
                self.send(number, side, Packet::Reset);
            }
            self.forget_if_over(number);
        }
    }

    /// Shuts an end down, or drops it.
    pub(super) fn close(&mut self, number: u64, side: Side, is_dropped: bool) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let (wakers, packet) =
            if is_dropped { connection.drop_end(side) } else { connection.shut_down(side) };
        self.wakers.extend(wakers);
        if let Some(packet) = packet {
            self.send(number, side, packet);
        }
        self.forget_if_over(number);
    }

    fn forget_if_over(&mut self, number: u64) {
        if self.connections.get(&number).is_some_and(Connection::is_over) {
            self.connections.remove(&number);
        }
    }

    pub(super) fn is_partitioned(&self, first: &str, second: &str) -> bool {
        self.partitions.contains_key(&Pair::of(first, second))
    }

    pub(super) fn partition(&mut self, pair: &Pair) {
        if self.partitions.contains_key(pair) {
            return;
        }
        self.note(format!("partition between {} and {}", pair.0, pair.1));
        let number = self.next();
        self.partitions.insert(pair.clone(), number);
        self.add_due(Instant::now() + USER_TIMEOUT, Due::UserTimeout(pair.clone(), number));
    }

    pub(super) fn stall(&mut self, from: &str, to: &str) {
        self.note(format!("stall from {from} to {to}"));
        self.stalls.insert((from.into(), to.into()));
    }

    pub(super) fn delay(&mut self, pair: Pair, delay: Duration) {
        self.note(format!("{} ms more between {} and {}", delay.as_millis(), pair.0, pair.1));
        self.delays.insert(pair, delay);
    }

    /// Ends partitions, stalls and delays between two hosts. What was held up arrives a latency later, in order.
    pub(super) fn heal(&mut self, pair: &Pair) {
        let Pair(first, second) = pair;
        let stalls = [(first.clone(), second.clone()), (second.clone(), first.clone())];
        let stalled = stalls.iter().filter(|stall| self.stalls.remove(*stall)).count() > 0;
        let partitioned = self.partitions.remove(pair).is_some();
        if self.delays.remove(pair).is_some() || stalled || partitioned {
            self.note(format!("healed between {first} and {second}"));
        }
        if stalled || partitioned {
            let numbers: Vec<u64> = self.numbers(|connection| connection.is_between(first, second));
            numbers.into_iter().for_each(|number| self.resume(number));
        }
    }

    fn resume(&mut self, number: u64) {
        for side in Side::BOTH {
            let Some(mut connection) = self.connections.remove(&number) else { return };
            let (from, to) = (connection.end(side.other()).host.clone(), connection.end(side).host.clone());
            let latency = self.latency(&from, &to, &mut connection.end_mut(side.other()).random);
            let mut earliest = Instant::now() + latency;
            for (at, _) in &mut connection.end_mut(side).under_way {
                earliest = earliest.max(*at);
                *at = earliest;
            }
            let first = connection.end(side).under_way.front().map(|(at, _)| *at);
            self.connections.insert(number, connection);
            if let Some(first) = first {
                self.add_due(first, Due::Arrivals(number, side));
            }
        }
    }

    fn numbers(&self, is_meant: impl Fn(&Connection) -> bool) -> Vec<u64> {
        let meant = self.connections.iter().filter(|(_, connection)| is_meant(connection));
        meant.map(|(number, _)| *number).collect()
    }

    fn time_out(&mut self, pair: &Pair, number: u64) {
        if self.partitions.get(pair) == Some(&number) {
            self.fail_between(pair, ErrorKind::TimedOut);
        }
    }

    /// Resets all connections between two hosts, at both ends at once. What is under way is lost.
    pub(super) fn reset(&mut self, pair: &Pair) {
        self.fail_between(pair, ErrorKind::ConnectionReset);
    }

    fn fail_between(&mut self, pair: &Pair, kind: ErrorKind) {
        let Pair(first, second) = pair;
        let numbers = self.numbers(|connection| connection.is_between(first, second));
        self.note(format!("{} connections between {first} and {second}: {kind}", numbers.len()));
        for number in numbers {
            let Some(connection) = self.connections.get_mut(&number) else { continue };
            for side in Side::BOTH {
                self.wakers.extend(connection.fail(side, kind));
            }
        }
    }

    /// Takes a host down: its ends fail at once, and its peers are informed by a reset.
    pub(super) fn crash(&mut self, host: &str) {
        self.note(format!("crash of {host}"));
        self.host(host).is_down = true;
        for number in self.numbers(|connection| connection.is_of(host)) {
            for side in Side::BOTH {
                let Some(connection) = self.connections.get_mut(&number) else { continue };
                if &*connection.end(side).host == host {
                    self.wakers.extend(connection.fail(side, ErrorKind::ConnectionAborted));
                    self.send(number, side, Packet::Reset);
                }
            }
        }
    }

    pub(super) fn restart(&mut self, host: &str) {
        if std::mem::take(&mut self.host(host).is_down) {
            self.note(format!("restart of {host}"));
        }
    }

    /// Returns pairs of hosts between which something was dialed, and hosts that listen.
    pub(super) fn targets(&self) -> (Vec<Pair>, Vec<Arc<str>>) {
        let hosts: BTreeSet<Arc<str>> =
            self.listeners.keys().map(|address| host_of(address).into()).collect();
        (self.used.iter().cloned().collect(), hosts.into_iter().collect())
    }

    /// Ends every fault.
    pub(super) fn heal_all(&mut self) {
        let stalled = self.stalls.iter().map(|(from, to)| Pair::of(from, to));
        let cut = self.partitions.keys().chain(self.delays.keys()).cloned();
        let pairs: BTreeSet<Pair> = stalled.chain(cut).collect();
        let hosts: Vec<Arc<str>> = self.hosts.keys().cloned().collect();
        pairs.iter().for_each(|pair| self.heal(pair));
        hosts.iter().for_each(|host| self.restart(host));
    }
}

/// Returns the host of an address: what is before its last colon.
pub(super) fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
