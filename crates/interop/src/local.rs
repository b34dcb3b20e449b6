//! A chain of servers in one process, for checks that need no processes.

use std::net::SocketAddr;

use crate::dial::{Failure, Pool, Proto, Transport};
use crate::lab::LabClient;
use crate::server;

/// Servers on loopback, each passing Down on to the next. They serve until the runtime ends.
#[derive(Debug)]
pub struct Chain {
    first: SocketAddr,
}

const NAMES: [&str; 5] = ["ServiceB", "ServiceC", "ServiceD", "ServiceE", "ServiceF"];

const TRANSPORT: Transport = Transport { proto: Proto::Tt, pool: Pool::Mux, psize: 1, busy_poll: 0 };

impl Chain {
    /// Starts as many servers, five at most.
    ///
    /// # Errors
    /// The system gives no port.
    pub async fn start(servers: usize) -> Result<Self, Failure> {
        let mut next: Option<(SocketAddr, &str)> = None;
        for name in NAMES.iter().take(servers).rev() {
            let client = next.map(|(addr, nextname)| TRANSPORT.client(&addr.to_string(), nextname, name));
            let server =
                server::bind("127.0.0.1:0", name, client.transpose()?, server::Lines::Silent).await?;
            next = Some((server.local_addr(), name));
            tokio::spawn(server.serve());
        }
        let (first, _) = next.ok_or("a chain needs a server")?;
        Ok(Self { first })
    }

    /// Where the first listens.
    pub fn address(&self) -> SocketAddr {
        self.first
    }

    /// A client of the first.
    ///
    /// # Errors
    /// The name cannot be.
    pub fn client(&self, own: &str) -> Result<LabClient, Failure> {
        TRANSPORT.client(&self.first.to_string(), "ServiceB", own)
    }
}
