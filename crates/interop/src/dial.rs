//! How a peer reaches another: protocol, pool, names.

use std::error::Error as StdError;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kitex::client::{CallProtocol, PoolKind, SocketConfig, Transport as Carrier};
use kitex::{Client, Error, Kind, Propagation};

use crate::lab::LabClient;

/// What a subcommand ends with if it cannot do its work.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// What to do about it, as the end of the line that says what it is; nothing if that is not for whoever
/// started this peer.
pub fn advice(failure: &(dyn StdError + 'static)) -> &'static str {
    match failure.downcast_ref() {
        Some(Error::Connect { .. }) => ": start a server there, or give the address of one with --addr",
        Some(error) if is_lost(error) => {
            ": check that --addr is that of a server of TTHeader, and that it is up"
        }
        _ => "",
    }
}

/// Whether a call failed because of who or what is at the other end, not by what a service said.
pub fn is_lost(error: &Error) -> bool {
    match error {
        Error::Connect { .. } => true,
        // A call by gRPC that failed: by what its status says.
        Error::Network(_) if error.grpc_status().is_none() => true,
        error => error.kind() == Some(Kind::Protocol),
    }
}

/// How the client's side speaks.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Proto {
    /// Streams as TTHeader Streaming, calls as TTHeader ping-pong.
    Tt,
    /// All by gRPC.
    Grpc,
    /// Calls framed.
    Framed,
    /// Calls as TTHeader ping-pong.
    Ttheader,
}

/// How streams share connections.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Pool {
    /// Several streams a connection.
    Mux,
    /// One stream at a time a connection.
    Long,
    /// One stream a connection.
    Short,
}

/// The words that every client takes.
#[derive(Clone, Debug, Args)]
pub struct Transport {
    /// How the client's side speaks.
    #[arg(long, value_enum, default_value = "tt")]
    pub proto: Proto,
    /// How streams share connections.
    #[arg(long, value_enum, default_value = "mux")]
    pub pool: Pool,
    /// Connections of a mux pool.
    #[arg(long, default_value_t = 1)]
    pub psize: usize,
    /// Microseconds that a connection looks for more before it sleeps.
    #[arg(long, default_value_t = 0)]
    pub busy_poll: u64,
}

/// Where a client of its own is bound for.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// Address of the server.
    #[arg(long, default_value = "127.0.0.1:9001")]
    pub addr: String,
    /// The server's service name.
    #[arg(long, default_value = "ServiceB")]
    pub name: String,
    /// The client's own service name.
    #[arg(long = "self", default_value = "ServiceA")]
    pub own: String,
    /// How it is reached.
    #[command(flatten)]
    pub transport: Transport,
}

impl Target {
    /// A client of it.
    ///
    /// # Errors
    /// A name or the address cannot be.
    pub fn client(&self) -> Result<LabClient, Failure> {
        self.transport.client(&self.addr, &self.name, &self.own)
    }
}

impl Transport {
    pub(crate) fn busy_poll(&self) -> Duration {
        Duration::from_micros(self.busy_poll)
    }

    /// A client of the service `name` at `addr`, calling as `own`.
    ///
    /// # Errors
    /// A name or the address cannot be.
    pub fn client(&self, addr: &str, name: &str, own: &str) -> Result<LabClient, Failure> {
        let (carrier, call_protocol) = match self.proto {
            Proto::Tt | Proto::Ttheader => (Carrier::TtHeader, CallProtocol::Ttheader),
            Proto::Framed => (Carrier::TtHeader, CallProtocol::Framed),
            Proto::Grpc => (Carrier::Grpc, CallProtocol::Ttheader),
        };
        let pool = match self.pool {
            Pool::Mux => PoolKind::Mux(self.psize),
            Pool::Long => PoolKind::long(),
            Pool::Short => PoolKind::Short,
        };
        let client = Client::builder(name)
            .caller(own)
            .address(addr)
            .pool(pool)
            .transport(carrier)
            .call_protocol(call_protocol)
            .propagation(Propagation::Legacy)
            .socket(SocketConfig::default().busy_poll(self.busy_poll()))
            .build()?;
        Ok(LabClient::new(client))
    }
}
