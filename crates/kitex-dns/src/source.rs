//! The source that a client is given, and its task. Knows nothing of what is looked up, or how.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use stream_core::client::{Discover, InstanceSet, WatchedInstances};

use crate::follow::{Query, follow};

/// The instances that the SRV records of a name list, for the client's `addresses`: each address of a record's target, A and
/// AAAA, with the record's port and weight. They are looked up on a task that begins with the first call and ends when the
/// last clone is dropped. Clones are the same source.
///
/// Only the records with the lowest priority value are used. Others are used once there is no record with a lower value;
/// whether a server can be reached does not matter. A weight of 0 counts as 1. An address that several records lead to has
/// the sum of their weights. Records whose target is `.`, or whose port is 0, are not used.
///
/// The records and addresses are looked up again when the first of them expires: after 1 s at least, and
/// [`max_interval`](Self::max_interval) at most. A lookup that fails or finds no instance is logged and changes nothing; it is
/// repeated after 1 s, doubled up to 30 s, and calls wait until one has succeeded, for the time of their
/// `connect_timeout`. If only the addresses of some targets cannot be looked up, their last ones stay; a target
/// that has none is not used. More than 1,024 records, or addresses, are a failure.
///
/// A query has 5 s and is repeated twice, or less by `/etc/resolv.conf`; a lookup with all its queries has 60 s.
///
/// Queries are sent by UDP, and by TCP if a response is truncated, and only to the name servers of `/etc/resolv.conf`, with
/// its search domains, or to those of [`with_servers`](Self::with_servers). The name must have the SRV records itself: an
/// alias (CNAME) is not followed to them. With TLS, set the server name of the client, since the addresses are IP addresses.
///
/// ```
/// # async fn run() -> std::io::Result<()> {
/// use kitex_dns::SrvInstances;
///
/// let instances = SrvInstances::new("_chat._tcp.example.internal")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SrvInstances {
    query: Arc<Query>,
    instances: WatchedInstances,
}

/// The longest time between two lookups.
const MAX_INTERVAL: Duration = Duration::from_secs(300);

impl SrvInstances {
    /// Returns a source of the SRV records of `name`, such as `_chat._tcp.example.internal`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): it is not a DNS name. Names are not looked up here.
    pub fn new(name: impl AsRef<str>) -> io::Result<Self> {
        let name = parse(name.as_ref())?;
        Ok(Self::of(Query { name, servers: None, max_interval: MAX_INTERVAL }))
    }

    /// Returns a source that asks these name servers, in place of those of the system. Names are then absolute: they have no search
    /// domains, and `/etc/hosts` is not read. Without any server all lookups fail. To be called before the source is used.
    #[must_use]
    pub fn with_servers(self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::of(Query { servers: Some(servers.into_iter().collect()), ..(*self.query).clone() })
    }

    /// Returns a source that looks records up again after `interval` even if their time to live is longer. At least 1 s.
    /// Default: 5 min. To be called before the source is used.
    #[must_use]
    pub fn max_interval(self, interval: Duration) -> Self {
        Self::of(Query { max_interval: interval, ..(*self.query).clone() })
    }

    fn of(query: Query) -> Self {
        let query = Arc::new(query);
        let followed = query.clone();
        let instances = WatchedInstances::new(move |instances| follow((*followed).clone(), instances));
        Self { query, instances }
    }
}

impl Discover for SrvInstances {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        self.instances.poll_instances(cx, seen)
    }
}

impl fmt::Debug for SrvInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Query { name, servers, max_interval } = &*self.query;
        let mut fields = f.debug_struct("SrvInstances");
        fields.field("name", &name.to_string()).field("servers", servers).field("max_interval", max_interval);
        fields.finish_non_exhaustive()
    }
}

/// Returns the DNS name that `text` is.
fn parse(text: &str) -> io::Result<Name> {
    let invalid = |fault: &dyn fmt::Display| {
        let text =
            format!("{text:?} is not the name of SRV records, such as _chat._tcp.example.internal: {fault}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    if text.contains(|letter: char| matches!(letter, ':' | '/') || letter.is_whitespace()) {
        return Err(invalid(&"it has a colon, a slash or a space"));
    }
    match Name::from_str_relaxed(text) {
        Ok(name) if name.num_labels() > 0 => Ok(name),
        Ok(_) => Err(invalid(&"it is empty")),
        Err(fault) => Err(invalid(&fault)),
    }
}
