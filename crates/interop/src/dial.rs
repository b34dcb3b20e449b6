//! The connection to another peer: protocol, pool, names.

use std::error::Error as StdError;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kitex::client::{CallProtocol, PoolKind, SocketConfig, Transport as Carrier};
use kitex::server::GrpcConfig;
use kitex::{Client, Error, ErrorKind, Propagation};

use crate::lab::LabClient;

/// The error of a subcommand.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// Returns how to correct a failure, as the end of its line; empty if the user of this peer cannot correct
/// it.
pub fn advice(failure: &(dyn StdError + 'static)) -> &'static str {
    match failure.downcast_ref() {
        Some(Error::Connect { .. }) => ": start a server there, or give the address of one with --addr",
        Some(error) if is_lost(error) => {
            ": check that --addr is that of a server of TTHeader, and that it is up"
        }
        _ => "",
    }
}

/// Returns whether a call failed because of the peer or the connection, not by the response of a service.
pub fn is_lost(error: &Error) -> bool {
    match error {
        Error::Connect { .. } => true,
        // A failed gRPC call: by its status.
        Error::Network(_) if error.grpc_status().is_none() => true,
        Error::Remote(_) => false,
        error => matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Connection),
    }
}

/// The protocol of the client's side.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Proto {
    /// Streams as TTHeader Streaming, calls as TTHeader ping-pong.
    Tt,
    /// Everything by gRPC.
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

/// The arguments of every client.
#[derive(Clone, Debug, Args)]
pub struct Transport {
    /// The protocol of the client's side.
    #[arg(long, value_enum, default_value = "tt")]
    pub proto: Proto,
    /// How streams share connections.
    #[arg(long, value_enum, default_value = "mux")]
    pub pool: Pool,
    /// Number of connections of a mux pool.
    #[arg(long, default_value_t = 1)]
    pub psize: usize,
    /// Microseconds that a connection spins after a read before it parks.
    #[arg(long, default_value_t = 0)]
    pub busy_poll: u64,
    /// Code, path and cause of a cancel go between Rust peers over gRPC too. Without it they say what Kitex says.
    #[arg(long)]
    pub cancel_origin: bool,
}

/// The server of a client.
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
    /// The transport to it.
    #[command(flatten)]
    pub transport: Transport,
}

impl Target {
    /// Returns a client of it.
    ///
    /// # Errors
    /// A name or the address is invalid.
    pub fn client(&self) -> Result<LabClient, Failure> {
        self.transport.client(&self.addr, &self.name, &self.own)
    }
}

impl Transport {
    pub(crate) fn busy_poll(&self) -> Duration {
        Duration::from_micros(self.busy_poll)
    }

    /// The settings of gRPC connections. The checks reset more streams of one than a server in the open should allow.
    pub(crate) fn grpc(&self) -> GrpcConfig {
        GrpcConfig::default().max_resets_per_second(100_000).cancel_origin(self.cancel_origin)
    }

    /// A client of the service `name` at `addr`, calling as `own`.
    ///
    /// # Errors
    /// A name or the address is invalid.
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
            .grpc(self.grpc())
            .socket(SocketConfig::default().busy_poll(self.busy_poll()))
            .build()?;
        Ok(LabClient::new(client))
    }
}
