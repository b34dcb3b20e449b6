//! Plays the plan of a seed: user > s1 > s2 > ... , then checks the invariants.

use std::sync::Arc;
use std::time::Duration;

use kitex::client::{ClientBuilder, Transport};
use kitex::server::ServerBuilder;
use kitex::stream_core::handler::ServerHandle;
use kitex::testing::{Simulation, TestServer};
use kitex::{Client, MemoryBudget, Server};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::echo::{EchoClient, EchoServer};
use crate::invariants::check;
use crate::ledger::Ledger;
use crate::plan::{Plan, ms};
use crate::service::Hop;
use crate::user::{Caller, Seen};

/// How a scenario ends.
pub(crate) type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The time within which every call ends.
const ENDED_WITHIN: Duration = Duration::from_secs(600);
/// The time within which handlers end when the user's last call has ended and there are no faults any more: the grace of a
/// canceled handler, and the way of a cancel through the chain, by links that lose packets.
const CANCELED_WITHIN: Duration = Duration::from_secs(20);
/// How often nothing runs, every 10 ms, before everything has settled: longer than any packet is under way.
const QUIET_FOR: usize = 300;
/// The time within which everything is closed after that.
const CLOSED_WITHIN: Duration = Duration::from_secs(60);

/// The services and clients of one simulation.
struct Chain {
    simulation: Simulation,
    plan: Arc<Plan>,
    ledger: Ledger,
    memory: MemoryBudget,
    servers: Vec<TestServer>,
    /// Those of the user and of the services before each server, in the order of `servers`.
    clients: Vec<Client>,
}

pub(crate) async fn play(simulation: Simulation, transport: Transport) -> Ended {
    let plan = Arc::new(Plan::draw(&simulation, transport));
    simulation.note(format!("{plan:?}"));
    simulation.set_links(plan.link.clone());
    let memory = MemoryBudget::new(plan.memory);
    let mut chain = Chain {
        simulation,
        plan,
        ledger: Ledger::default(),
        memory,
        servers: Vec::new(),
        clients: Vec::new(),
    };
    let user = chain.build()?;
    let seen = chain.use_it(user).await?;
    chain.settle().await?;
    chain.simulation.note("settled");
    let handles: Vec<ServerHandle> = chain.servers.iter().map(TestServer::handle).collect();
    let retries = chain.clients.iter().rev().map(|client| client.pool_stats().retries).collect::<Vec<_>>();
    chain.close().await;
    chain.simulation.note("closed");
    chain.check_closed(&handles).await?;
    check(&chain.plan, &chain.ledger.entries(), &seen, &retries)
}

impl Chain {
    fn client(&self, host: &str, service: &str) -> ClientBuilder {
        let client = self.simulation.client(host, service).transport(self.plan.transport);
        client.memory_budget(self.memory.clone())
    }

    fn server(&self, name: &str, next: Option<EchoClient>, place: usize) -> ServerBuilder {
        let hop = Hop {
            place,
            next,
            plan: self.plan.clone(),
            ledger: self.ledger.clone(),
            memory: self.memory.clone(),
        };
        let server = Server::builder(name).service(EchoServer::new(hop));
        server.max_handlers(self.plan.max_handlers).memory_budget(self.memory.clone())
    }

    /// Starts the services, the last one first. Returns the user's client.
    fn build(&mut self) -> Result<EchoClient, Box<dyn std::error::Error + Send + Sync>> {
        let mut next: Option<EchoClient> = None;
        for place in (1..=self.plan.hops).rev() {
            let name = format!("s{place}");
            let server = self.server(&name, next.take(), place);
            self.servers.push(self.simulation.serve(&name, server)?);
            let before = if place == 1 { "user".to_owned() } else { format!("s{}", place - 1) };
            let client = self.client(&before, &name);
            let client = if place == 1 { client.caller("user") } else { client };
            let client = client.build()?;
            self.clients.push(client.clone());
            next = Some(EchoClient::new(client));
        }
        next.ok_or_else(|| "a chain has a service".into())
    }

    /// Makes all calls, while there are faults.
    async fn use_it(&mut self, client: EchoClient) -> Result<Vec<Seen>, String> {
        let (simulation, plan) = (self.simulation.clone(), self.plan.clone());
        let caller = Caller {
            client,
            plan: plan.clone(),
            ledger: self.ledger.clone(),
            simulation: simulation.clone(),
        };
        let faults = tokio::spawn({
            let (simulation, faults) = (simulation.clone(), plan.faults());
            async move { simulation.inject(faults).await }
        });
        let mut calls = JoinSet::new();
        for number in 0..plan.calls.len() {
            let caller = caller.clone();
            calls.spawn(async move { (number, caller.call(number).await) });
        }
        if plan.shuts_down_early {
            sleep(ms(1500)).await;
            simulation.note("shutdown of s1");
            if let Some(first) = self.servers.pop() {
                first.shutdown().await;
            }
        }
        let ended = timeout(ENDED_WITHIN, calls.join_all()).await;
        let mut seen =
            ended.map_err(|_| format!("a call hangs, and handlers run: {:?}", self.ledger.unfinished()))?;
        seen.sort_by_key(|(number, _)| *number);
        faults.await.expect("faults end");
        Ok(seen.into_iter().map(|(_, seen)| seen).collect())
    }

    /// Waits until no handler runs, and none begins with what was under way: every cancel has arrived.
    async fn settle(&self) -> Ended {
        let (began, mut quiet) = (self.simulation.elapsed(), 0);
        while quiet < QUIET_FOR {
            quiet = if self.ledger.unfinished().is_empty() { quiet + 1 } else { 0 };
            if quiet == 0 && self.simulation.elapsed() - began > CANCELED_WITHIN {
                return Err(format!("handlers still run: {:?}", self.ledger.unfinished()).into());
            }
            sleep(ms(10)).await;
        }
        Ok(())
    }

    async fn close(&mut self) {
        for client in std::mem::take(&mut self.clients) {
            client.close().await;
        }
        self.simulation.note("clients are closed");
        for server in std::mem::take(&mut self.servers).into_iter().rev() {
            server.shutdown().await;
        }
    }

    /// Nothing is left: no connection, task, handler or byte.
    async fn check_closed(&self, handles: &[ServerHandle]) -> Ended {
        let began = self.simulation.elapsed();
        loop {
            let handlers: usize =
                handles.iter().map(|handle| handle.stats().handlers + handle.stats().queued).sum();
            let (connections, tasks) = (self.simulation.open_connections(), self.simulation.tasks());
            let left = [connections.len(), tasks, handlers, self.memory.used()];
            if left == [0; 4] {
                return Ok(());
            }
            if self.simulation.elapsed() - began > CLOSED_WITHIN {
                let left =
                    format!("[connections, tasks, handlers, bytes] are left: {left:?}, {connections:?}");
                return Err(left.into());
            }
            sleep(ms(10)).await;
        }
    }
}
