//! A chain of servers in one process, for tests that need no processes.

use std::net::SocketAddr;

use crate::dial::{Failure, Pool, Proto, Transport};
use crate::lab::LabClient;
use crate::server;

/// Servers on loopback, each forwarding Down to the next. They serve until the runtime ends.
#[derive(Debug)]
pub struct Chain {
    first: SocketAddr,
}

const NAMES: [&str; 5] = ["ServiceB", "ServiceC", "ServiceD", "ServiceE", "ServiceF"];

/// How the servers of a chain call each other.
pub const TRANSPORT: Transport =
    Transport { proto: Proto::Tt, pool: Pool::Mux, psize: 1, busy_poll: 0, cancel_origin: true };

impl Chain {
    /// Starts `servers` servers, five at most.
    ///
    /// # Errors
    /// The system's, if no port can be bound.
    pub async fn start(servers: usize) -> Result<Self, Failure> {
        let mut next: Option<(SocketAddr, &str)> = None;
        for name in NAMES.iter().take(servers).rev() {
            let client = next.map(|(addr, nextname)| TRANSPORT.client(&addr.to_string(), nextname, name));
            let server =
                server::bind("127.0.0.1:0", name, client.transpose()?, server::Lines::Silent, &TRANSPORT)
                    .await?;
            next = Some((server.local_addr(), name));
            tokio::spawn(server.serve());
        }
        let (first, _) = next.ok_or("a chain needs a server")?;
        Ok(Self { first })
    }

    /// Returns the address of the first.
    pub fn address(&self) -> SocketAddr {
        self.first
    }

    /// Returns a client of the first.
    ///
    /// # Errors
    /// The name is invalid.
    pub fn client(&self, own: &str) -> Result<LabClient, Failure> {
        TRANSPORT.client(&self.first.to_string(), "ServiceB", own)
    }
}
