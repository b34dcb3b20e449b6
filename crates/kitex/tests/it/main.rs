//! Behaviour of `kitex` over real sockets, in one process. Each file is about one part of the builders, the typed streams
//! or the context. Waits have very wide bounds, and no test relies on elapsed time alone.

mod addresses;
mod admission;
mod balance;
mod bursts;
mod cancel;
mod claims;
mod clock;
mod context;
mod cores;
mod credits;
mod deadline;
mod decode_limits;
mod dial;
mod drops;
mod endings;
mod events;
mod fixture;
mod flow;
mod grpc;
mod header;
mod healthy;
mod inspect;
mod interrupted;
mod limits;
mod limits_tcp;
mod lost;
mod memory;
mod memory_unsent;
mod metainfo;
mod middleware;
mod misbehaving_clients;
mod misbehaving_servers;
mod modes;
mod observers;
mod oversize;
mod panics;
mod panics_at_ends;
mod policy;
mod pools;
#[cfg(feature = "protobuf")]
mod protobuf;
mod reads;
mod resets;
mod retry;
mod retry_lost;
mod runtimes;
mod saves;
mod secrets;
mod services;
mod shutdown;
#[cfg(unix)]
mod signals;
mod slow_consumers;
mod sources;
mod stalls;
mod threats;
mod times;
#[cfg(feature = "tls")]
mod tls;
mod unix;
mod unread;

/// What carries the streams of clients that set no other transport.
pub(crate) const TRANSPORT: kitex::client::Transport = kitex::client::Transport::TtHeader;
