//! One lookup: SRV records, and then the addresses of their targets. Owns the bounds on what DNS may cost; knows nothing of
//! time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use stream_core::client::Instance;

/// The most SRV records of a name, and the most addresses of their targets.
const MAX_RECORDS: usize = 1024;

/// Queries for addresses that run at the same time.
const CONCURRENT: usize = 16;

/// The time limit of one query, and how often it is repeated, unless the system's configuration has less.
const QUERY: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 2;

/// What a lookup has found.
#[derive(Debug)]
pub(crate) struct Found {
    /// In the order of their addresses; at least one.
    pub(crate) instances: Vec<Instance>,
    /// The time until the first of the records expires.
    pub(crate) ttl: Duration,
    /// Why addresses of a target are missing, or are those of an earlier lookup.
    pub(crate) incomplete: Option<Fault>,
}

/// Why a lookup has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Dns(#[from] NetError),
    #[error("no answer within the time limit of a lookup")]
    Timeout,
    #[error("the name has no SRV record with a target and a port")]
    NoRecord,
    #[error("{0} has no address")]
    NoAddress(Name),
    #[error("more than {MAX_RECORDS} records")]
    TooMany,
    #[error("the task that reads the system's configuration has ended")]
    Ended,
}

/// The addresses of each target and type at the last lookup that succeeded.
pub(crate) type Known = BTreeMap<(Name, RecordType), Vec<IpAddr>>;

/// Returns a resolver that sends queries to `servers`; `None`: to those of the system's configuration.
pub(crate) async fn resolver(servers: Option<Arc<[SocketAddr]>>) -> Result<TokioResolver, Fault> {
    // The system's configuration is in files.
    let made = tokio::task::spawn_blocking(move || {
        let mut builder = match servers {
            None => TokioResolver::builder_tokio()?,
            Some(servers) => {
                let servers = servers.iter().map(name_server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
                let mut options = ResolverOpts::default();
                options.use_hosts_file = ResolveHosts::Never;
                builder.with_options(options)
            }
        };
        let options = builder.options_mut();
        options.timeout = options.timeout.min(QUERY);
        options.attempts = options.attempts.min(ATTEMPTS);
        // Records are kept here.
        options.cache_size = 0;
        Ok(builder.build()?)
    });
    made.await.unwrap_or(Err(Fault::Ended))
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = address.port());
    NameServerConfig::new(address.ip(), true, connections)
}

/// Looks up the SRV records of `name` and the addresses of their targets. Those that cannot be looked up are as `known`.
pub(crate) async fn look_up(
    resolver: &TokioResolver,
    name: &Name,
    known: &mut Known,
) -> Result<Found, Fault> {
    let (records, mut ttl) = records(resolver, name).await?;
    let targets: BTreeSet<&Name> = records.iter().map(|record| &record.target).collect();
    let types = [RecordType::A, RecordType::AAAA];
    let keys: Vec<_> = targets.into_iter().flat_map(|target| types.map(|of| (target.clone(), of))).collect();
    let queries = stream::iter(keys).map(|(target, of)| addresses(resolver, target, of));
    let mut answers = queries.buffer_unordered(CONCURRENT);
    let (mut read, mut incomplete, mut count) = (Known::new(), None, 0_usize);
    while let Some((key, answer)) = answers.next().await {
        let addresses = match answer {
            Ok((addresses, expiry)) => {
                ttl = ttl.min(expiry);
                addresses
            }
            Err(error) => {
                incomplete = Some(error.into());
                known.get(&key).cloned().unwrap_or_default()
            }
        };
        count = count.saturating_add(addresses.len());
        if count > MAX_RECORDS {
            return Err(Fault::TooMany);
        }
        read.insert(key, addresses);
    }
    let (instances, without) = instances(&records, &read)?;
    incomplete = incomplete.or(without.map(Fault::NoAddress));
    if instances.is_empty() {
        return Err(incomplete.unwrap_or(Fault::NoRecord));
    }
    *known = read;
    Ok(Found { instances, ttl: Duration::from_secs(ttl.into()), incomplete })
}

/// Returns the SRV records of the lowest priority value, and the seconds until the first of all of them expires.
async fn records(resolver: &TokioResolver, name: &Name) -> Result<(Vec<SRV>, u32), Fault> {
    let lookup = resolver.lookup(name.clone(), RecordType::SRV).await?;
    let (mut records, mut ttl) = (Vec::new(), u32::MAX);
    for record in lookup.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        ttl = ttl.min(record.ttl);
        if records.len() >= MAX_RECORDS {
            return Err(Fault::TooMany);
        }
        // The root as the target says that there is no such service.
        if srv.target.num_labels() > 0 && srv.port != 0 {
            records.push(srv.clone());
        }
    }
    let lowest = records.iter().map(|record| record.priority).min().ok_or(Fault::NoRecord)?;
    records.retain(|record| record.priority == lowest);
    Ok((records, ttl))
}

/// Returns the addresses of `target` of one type, and the seconds until the first of its records expires.
async fn addresses(
    resolver: &TokioResolver,
    mut target: Name,
    of: RecordType,
) -> ((Name, RecordType), Result<(Vec<IpAddr>, u32), NetError>) {
    // Not relative to a search domain.
    target.set_fqdn(true);
    let answer = match resolver.lookup(target.clone(), of).await {
        Ok(lookup) => {
            let answers = lookup.answers();
            let ttl = answers.iter().map(|record| record.ttl).min().unwrap_or(u32::MAX);
            Ok((answers.iter().filter_map(|record| record.data.ip_addr()).collect(), ttl))
        }
        // It may have addresses of the other type alone.
        Err(error) if error.is_no_records_found() => Ok((Vec::new(), u32::MAX)),
        Err(error) => Err(error),
    };
    ((target, of), answer)
}

/// Returns the instances of `records` in the order of their addresses, and a target that has no address.
fn instances(records: &[SRV], addresses: &Known) -> Result<(Vec<Instance>, Option<Name>), Fault> {
    let mut weights = BTreeMap::<SocketAddr, u32>::new();
    let mut without = None;
    for record in records {
        let mut target = record.target.clone();
        target.set_fqdn(true);
        let (v4, v6) = ((target.clone(), RecordType::A), (target.clone(), RecordType::AAAA));
        let found = [v4, v6].map(|key| addresses.get(&key).map_or(&[][..], Vec::as_slice));
        if found.iter().all(|addresses| addresses.is_empty()) {
            without = Some(target);
        }
        for address in found.into_iter().flatten() {
            let weight = weights.entry(SocketAddr::new(*address, record.port)).or_default();
            *weight = weight.saturating_add(u32::from(record.weight).max(1));
            if weights.len() > MAX_RECORDS {
                return Err(Fault::TooMany);
            }
        }
    }
    let instance =
        |(address, weight): (SocketAddr, u32)| Instance::new(address.to_string()).with_weight(weight);
    Ok((weights.into_iter().map(instance).collect(), without))
}
