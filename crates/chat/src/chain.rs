//! The three services in one process, each on a port of its own on loopback. What they say to each other
//! is the same as between three machines.

use std::net::SocketAddr;

use kitex::server::Server;
use tokio::task::JoinSet;

use crate::next::Next;
use crate::report::Reports;
use crate::service::{AGENT, Agent, GATEWAY, Gateway, MODEL, ModelService, server};

/// Gateway, agent and model, running. Dropping it stops them from accepting more.
#[derive(Debug)]
pub struct Chain {
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where the agent listens.
    pub agent: SocketAddr,
    /// Where the model listens.
    pub model: SocketAddr,
    _serving: JoinSet<()>,
}

impl Chain {
    /// Starts the services; the agent lets a reply have `limit` tokens.
    ///
    /// # Errors
    /// There is no free port on loopback.
    pub async fn start(
        model: ModelService,
        limit: u64,
        reports: &Reports,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut serving = JoinSet::new();
        let mut serve = |server: Server| {
            let address = server.local_addr();
            serving.spawn(server.serve());
            address
        };
        let model = serve(server(MODEL, model).bind(ANY_PORT).await?);
        let next = Next::new(AGENT, MODEL, &model.to_string())?;
        let agent = serve(server(AGENT, Agent::new(next, limit, reports.clone())).bind(ANY_PORT).await?);
        let next = Next::new(GATEWAY, AGENT, &agent.to_string())?;
        let gateway = serve(server(GATEWAY, Gateway::new(next, reports.clone())).bind(ANY_PORT).await?);
        Ok(Self { gateway, agent, model, _serving: serving })
    }
}

const ANY_PORT: &str = "127.0.0.1:0";
