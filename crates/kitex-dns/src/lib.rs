//! Service discovery by DNS SRV records, for the clients of `kitex`: addresses, ports, weights and priorities come from DNS, and
//! are looked up again when their time to live is over. Unofficial: not affiliated with CloudWeGo.
//!
//! ```
//! use std::time::Duration;
//!
//! use kitex_dns::SrvInstances;
//!
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! // By the name servers in `/etc/resolv.conf`. For the client: `Client::builder("chat").addresses(instances)`.
//! let instances = SrvInstances::new("_chat._tcp.example.internal")?;
//!
//! // By these name servers, and at least once a minute.
//! let instances = SrvInstances::new("_chat._tcp.example.internal")?
//!     .with_servers(["10.0.0.53:53".parse()?])
//!     .max_interval(Duration::from_secs(60));
//! # let _ = instances;
//! # Ok(())
//! # }
//! ```
//!
//! - **Instances.** Each address of a record's target, A and AAAA, with the record's port, is an instance with the record's weight.
//!   A weight of 0 counts as 1.
//! - **Priority.** Only the records with the lowest priority value are used. Others are used once there is no record with a lower
//!   value; whether a server can be reached does not matter.
//! - **Time to live.** Records are looked up again when the first of them expires: after 1 s at least, and 5 min at most.
//! - **Failures.** A lookup that fails, or finds no instance, changes nothing. It is repeated after 1 s, doubled up to 30 s.
//!
//! Names without SRV records need no dependency: `DnsInstances` of `kitex` looks up A and AAAA by the system's resolver.

mod follow;
mod lookup;
mod source;

pub use source::SrvInstances;
