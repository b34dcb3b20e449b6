//! The three services in one process, each on its own loopback port. Their traffic is the same as between
//! three machines.

use std::net::SocketAddr;

use kitex::server::Server;
use tokio::task::JoinSet;

use crate::next::Next;
use crate::proto::Proto;
use crate::report::Reports;
use crate::service::{AGENT, Agent, GATEWAY, Gateway, MODEL, ModelService, server};

/// Running gateway, agent and model. Dropping it stops them from accepting connections.
#[derive(Debug)]
pub struct Chain {
    /// The address of the gateway.
    pub gateway: SocketAddr,
    /// The address of the agent.
    pub agent: SocketAddr,
    /// The address of the model.
    pub model: SocketAddr,
    _serving: JoinSet<()>,
}

impl Chain {
    /// Starts the services, which call each other over `proto`; the agent limits a reply to `limit` tokens.
    ///
    /// # Errors
    /// There is no free port on loopback.
    pub async fn start(
        model: ModelService,
        limit: u64,
        proto: Proto,
        reports: &Reports,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut serving = JoinSet::new();
        let mut serve = |server: Server| {
            let address = server.local_addr();
            serving.spawn(server.serve());
            address
        };
        let model = serve(server(MODEL, model).bind(ANY_PORT).await?);
        let next = Next::over(proto, AGENT, MODEL, &model.to_string())?;
        let agent = serve(server(AGENT, Agent::new(next, limit, reports.clone())).bind(ANY_PORT).await?);
        let next = Next::over(proto, GATEWAY, AGENT, &agent.to_string())?;
        let gateway = serve(server(GATEWAY, Gateway::new(next, reports.clone())).bind(ANY_PORT).await?);
        Ok(Self { gateway, agent, model, _serving: serving })
    }
}

const ANY_PORT: &str = "127.0.0.1:0";
