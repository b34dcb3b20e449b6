//! The simulated network as a scenario uses it: listeners, connectors, links and single faults.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use stream_core::BoxFuture;
use stream_core::client::{Connector, PoolKind};
use stream_core::io::Io;
use stream_core::server::{Listener, MemoryListener};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::connection::{Connection, Side};
use super::link::Link;
use super::random::Random;
use super::stream::{Shared, Stream};
use super::world::{Pair, World, host_of};
use crate::client::ClientBuilder;
use crate::server::{BindError, ServerBuilder};
use crate::testing::server::TestServer;

/// Ports of servers whose address has none, and of clients: only shown.
const SERVER_PORT: u16 = 8888;
const CLIENT_PORT: u16 = 40_000;

/// A simulated network, its faults and its clock, for the scenario of one seed: see [`simulate`](super::simulate). Clones
/// are the same network.
///
/// Hosts have names. A server listens at an address, `host` or `host:port`; a client dials it from a host of its own. All
/// services of a process share its host, so that a fault of a link or a host concerns both its server and its clients.
#[derive(Clone)]
pub struct Simulation {
    seed: u64,
    shared: Arc<Shared>,
}

impl Simulation {
    /// Returns the network of `seed`, and starts the task that moves its packets.
    pub(super) fn start(seed: u64) -> Self {
        let shared = Arc::new(Shared::new(World::new(seed)));
        tokio::spawn(shared.clone().deliver());
        Self { seed, shared }
    }

    /// Returns the seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns a random sequence for what a scenario draws: the same for each call with the same `label`, and independent of
    /// what the network draws.
    pub fn random(&self, label: u64) -> Random {
        Random::new(self.seed).fork(2).fork(label)
    }

    /// Returns the virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.shared.update(|world| world.elapsed())
    }

    /// Serves `server` at `address` (`host` or `host:port`). It replaces a server at the same address, whose connections
    /// continue.
    ///
    /// # Errors
    /// [`BindError`]: the name or the services cannot be used.
    pub fn serve(&self, address: &str, server: ServerBuilder) -> Result<TestServer, BindError> {
        Ok(TestServer::spawn(server.listen(self.listener(address))?))
    }

    /// Returns a builder of a client that dials `address` from `host`, with one connection, so that a seed means the same on
    /// every machine; the service has the name of the address.
    pub fn client(&self, host: &str, address: &str) -> ClientBuilder {
        let client = ClientBuilder::new(address).address(address).connector(self.connector(host));
        client.pool(PoolKind::Mux(1))
    }

    /// Returns a listener at `address`, for [`ServerBuilder::listen`].
    pub fn listener(&self, address: &str) -> impl Listener + use<> {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(SERVER_PORT);
        self.shared.update(|world| {
            let (listener, accepts) = MemoryListener::bound_to(world.ip(host_of(address), port));
            world.listen(address, accepts);
            listener
        })
    }

    /// Returns a connector that dials from `host`, for [`ClientBuilder::connector`].
    pub fn connector(&self, host: &str) -> impl Connector + use<> {
        SimulatedConnector { shared: self.shared.clone(), host: host.into() }
    }

    /// Sets every link that [`set_link`](Self::set_link) has not set. Open connections keep their buffers.
    pub fn set_links(&self, link: Link) {
        self.shared.update(|world| world.default_link = link);
    }

    /// Sets the link between two hosts, in both directions. Open connections keep their buffers.
    pub fn set_link(&self, first: &str, second: &str, link: Link) {
        self.shared.update(|world| world.links.insert(Pair::of(first, second), link));
    }

    /// Adds `delay` to the latency between two hosts, until they are healed.
    pub fn delay(&self, first: &str, second: &str, delay: Duration) {
        self.shared.update(|world| world.delay(Pair::of(first, second), delay));
    }

    /// Lets nothing pass between two hosts, until they are healed. Dials wait. After 20 s the connections between them fail at
    /// both ends, as by `TCP_USER_TIMEOUT` and keepalive.
    pub fn partition(&self, first: &str, second: &str) {
        self.shared.update(|world| world.partition(&Pair::of(first, second)));
    }

    /// Holds up what `from` sends to `to`, until they are healed: as if `to` read nothing. Connections do not fail.
    pub fn stall(&self, from: &str, to: &str) {
        self.shared.update(|world| world.stall(from, to));
    }

    /// Ends the delay, partition and stalls between two hosts. What was held up arrives, in order.
    pub fn heal(&self, first: &str, second: &str) {
        self.shared.update(|world| world.heal(&Pair::of(first, second)));
        self.shared.healed.notify_waiters();
    }

    /// Resets all connections between two hosts: both ends fail at once, and what is under way is lost.
    pub fn reset(&self, first: &str, second: &str) {
        self.shared.update(|world| world.reset(&Pair::of(first, second)));
    }

    /// Takes a host down until its [restart](Self::restart): its connections are reset, and dials from it and to it are
    /// refused. Its tasks continue: handlers see that their connection is lost, and a server accepts again after the restart.
    pub fn crash(&self, host: &str) {
        self.shared.update(|world| world.crash(host));
    }

    /// Takes a host that has crashed up again.
    pub fn restart(&self, host: &str) {
        self.shared.update(|world| world.restart(host));
        self.shared.healed.notify_waiters();
    }

    /// Ends every fault.
    pub fn heal_all(&self) {
        self.shared.update(World::heal_all);
        self.shared.healed.notify_waiters();
    }

    /// Returns the hosts of each connection of which an end is open, the one that has dialed first.
    pub fn open_connections(&self) -> Vec<(String, String)> {
        let hosts = |connection: &Connection| {
            let [client, server] = Side::BOTH.map(|side| connection.end(side).host.to_string());
            (client, server)
        };
        self.shared.update(|world| world.connections.values().map(hosts).collect())
    }

    /// Returns the number of tasks of the runtime besides the scenario and the network: those of servers, of handlers, of
    /// clients, and those that the scenario has spawned. 0 after everything was shut down.
    pub fn tasks(&self) -> usize {
        Handle::current().metrics().num_alive_tasks().saturating_sub(1)
    }

    /// Adds a line to the trace, at the current virtual time.
    pub fn note(&self, line: impl fmt::Display) {
        self.shared.update(|world| world.note(line.to_string()));
    }

    /// Returns the latest 1,024 events as lines: packets that arrived, faults, dials, and what [`note`](Self::note) has added.
    pub fn trace(&self) -> Vec<String> {
        self.shared.update(|world| world.trace.lines())
    }

    /// Returns a hash of all events of the trace, with every byte that has arrived: equal for equal runs of a seed.
    pub fn fingerprint(&self) -> u64 {
        self.shared.update(|world| world.trace.fingerprint())
    }

    /// Returns the lines of the trace that are no arrivals.
    pub(super) fn notes(&self) -> Vec<String> {
        self.shared.update(|world| world.trace.notes())
    }

    /// Changes the state, for faults.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        self.shared.update(change)
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").field("seed", &self.seed).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct SimulatedConnector {
    shared: Arc<Shared>,
    host: Arc<str>,
}

impl Connector for SimulatedConnector {
    fn connect<'a>(&'a self, address: &'a str, _: Duration) -> BoxFuture<'a, io::Result<Io>> {
        Box::pin(self.dial(address))
    }
}

impl SimulatedConnector {
    async fn dial(&self, address: &str) -> io::Result<Io> {
        let (from, to) = (&*self.host, host_of(address));
        let (number, mut random) = self.shared.update(|world| world.begin_dial(from, to));
        loop {
            let healed = self.shared.healed.notified();
            let cut = |world: &mut World| world.is_partitioned(from, to);
            if !self.shared.update(cut) {
                let latency = self.shared.update(|world| {
                    [(from, to), (to, from)].map(|(from, to)| world.latency(from, to, &mut random))
                });
                sleep(latency.iter().sum()).await;
                if !self.shared.update(cut) {
                    break;
                }
            }
            healed.await;
        }
        let accepts = self.shared.update(|world| {
            let is_down = world.is_down(from) || world.is_down(to);
            world.listener(address).filter(|_| !is_down)
        });
        let refused =
            || io::Error::new(ErrorKind::ConnectionRefused, format!("{address} refused the connection"));
        let accept = accepts.ok_or_else(refused)?.reserve_owned().await.map_err(|_| refused())?;
        let (client, server) = self.open(number, address, &random);
        accept.send(server);
        Ok(client)
    }

    fn open(&self, number: u64, address: &str, random: &Random) -> (Io, Io) {
        let (from, to) = (&*self.host, host_of(address));
        let port = u16::try_from(number % 20_000).unwrap_or_default() + CLIENT_PORT;
        let [client, server] = self.shared.update(|world| {
            world.connect(number, [from, to], random);
            [world.ip(from, port), world.ip(to, SERVER_PORT)]
        });
        let stream = |side| Stream::new(self.shared.clone(), number, side);
        (
            Io::layered(stream(Side::Client), client.clone(), server.clone()),
            Io::layered(stream(Side::Server), server, client),
        )
    }
}
