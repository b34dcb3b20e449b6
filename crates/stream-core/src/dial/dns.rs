//! The addresses of a DNS name as instances, looked up again and again by the system's resolver.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::sleep;
use tracing::warn;

use super::discover::{Discover, Instance, InstanceSet, SharedInstances};
use super::fault::address_fault;
use super::watch::WatchedInstances;
use crate::BoxFuture;

/// The addresses of a DNS name, A and AAAA, each an instance with a pool of its own: for example those of a headless
/// service of Kubernetes. The system's resolver looks them up every 5 s, as often as Kitex's clients do, on a task that begins with
/// the first call and ends when the last clone is dropped. Clones are the same source.
///
/// A lookup that fails is logged and changes nothing; before the first one that succeeds it is repeated every second.
/// All instances have the same weight. SRV records and the time to live of records are not used (`kitex-dns` has a source
/// that does): the port is that of the address. With TLS, set the server name of the client, since the addresses are IP addresses.
///
/// ```
/// # async fn run() -> std::io::Result<()> {
/// use stream_core::client::DnsInstances;
///
/// let instances = DnsInstances::new("model.default.svc.cluster.local:8888")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DnsInstances {
    name: Arc<str>,
    interval: Duration,
    instances: WatchedInstances,
}

/// Returns the addresses of a name with a port.
type Lookup = Arc<dyn Fn(Arc<str>) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The time between two lookups.
const INTERVAL: Duration = Duration::from_secs(5);

/// The time between two lookups before one has succeeded.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

impl DnsInstances {
    /// Returns a source of the addresses of `address`, a name with a port: `host:port`.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): it is not `host:port`. Names are not looked up here.
    pub fn new(address: impl Into<String>) -> io::Result<Self> {
        Self::every(address, INTERVAL)
    }

    /// As [`new`](Self::new), looked up every `interval`, at least every 10 ms.
    ///
    /// # Errors
    /// As those of `new`.
    pub fn every(address: impl Into<String>, interval: Duration) -> io::Result<Self> {
        let lookup = |name: Arc<str>| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move { Ok(lookup_host(&*name).await?.collect()) })
        };
        Self::by(address.into(), interval, Arc::new(lookup))
    }

    fn by(address: String, interval: Duration, lookup: Lookup) -> io::Result<Self> {
        if let Some(fault) = address_fault(&address) {
            let text = format!("{address:?} is not host:port: {fault}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let interval = interval.max(Duration::from_millis(10));
        let name: Arc<str> = address.into();
        let looked_up = name.clone();
        let instances = WatchedInstances::new(move |instances| {
            watch(looked_up.clone(), interval, lookup.clone(), instances)
        });
        Ok(Self { name, interval, instances })
    }
}

impl Discover for DnsInstances {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        self.instances.poll_instances(cx, seen)
    }
}

async fn watch(name: Arc<str>, interval: Duration, lookup: Lookup, instances: SharedInstances) {
    let mut known = Vec::new();
    loop {
        match lookup(name.clone()).await {
            Ok(mut addresses) if !addresses.is_empty() => {
                // Resolvers change the order.
                addresses.sort_unstable();
                addresses.dedup();
                if known != addresses {
                    instances.set(addresses.iter().map(|address| Instance::new(address.to_string())));
                    known = addresses;
                }
            }
            Ok(_) => warn!(%name, "the name has no address"),
            Err(error) => warn!(%name, %error, "the name was not looked up: its last addresses stay"),
        }
        sleep(if known.is_empty() { interval.min(FIRST_INTERVAL) } else { interval }).await;
    }
}

impl fmt::Debug for DnsInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, interval, .. } = self;
        f.debug_struct("DnsInstances").field("name", name).field("interval", interval).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use super::*;

    /// What a resolver answers, one after the other; the last one for ever. `None` is an error.
    type Answers = &'static [Option<&'static [&'static str]>];

    /// Returns a source of these answers, and the number of lookups.
    fn source(answers: Answers) -> (DnsInstances, Arc<AtomicUsize>) {
        let lookups = Arc::new(AtomicUsize::new(0));
        let counted = lookups.clone();
        let lookup = move |name: Arc<str>| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            assert_eq!(&*name, "model:80");
            let at = counted.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            Box::pin(async move {
                let answer = answers[at].ok_or_else(|| io::Error::other("no such name"))?;
                Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
            })
        };
        (DnsInstances::by("model:80".to_owned(), INTERVAL, Arc::new(lookup)).unwrap(), lookups)
    }

    fn poll(source: &DnsInstances) -> Option<InstanceSet> {
        match source.poll_instances(&mut Context::from_waker(Waker::noop()), None) {
            Poll::Ready(set) => Some(set),
            Poll::Pending => None,
        }
    }

    fn shown(set: &InstanceSet) -> Vec<&str> {
        set.instances().iter().map(|instance| &*instance.address).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn dns_instances_are_looked_up_every_interval_and_change_with_the_answers() {
        let (source, lookups) = source(&[
            Some(&["10.0.0.2:80", "10.0.0.1:80"]),
            Some(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"]),
            None,
            Some(&[]),
            Some(&["10.0.0.2:80", "[fd00::1]:80"]),
        ]);
        assert!(poll(&source).is_none());
        assert_eq!(lookups.load(Ordering::SeqCst), 0, "a lookup does not block a call");
        let both: &[&str] = &["10.0.0.1:80", "10.0.0.2:80"];
        let rows = [(0, both), (0, both), (0, both), (0, both), (1, &["10.0.0.2:80", "[fd00::1]:80"])];
        sleep(Duration::from_millis(1)).await;
        for (at, (version, expected)) in rows.into_iter().enumerate() {
            let set = poll(&source).unwrap();
            assert_eq!((set.version(), shown(&set)), (version, expected.to_vec()), "answer {at}");
            assert_eq!(lookups.load(Ordering::SeqCst), at + 1);
            sleep(INTERVAL).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn dns_instances_are_looked_up_every_second_until_a_lookup_succeeds() {
        let (source, lookups) = source(&[None, Some(&[]), Some(&["10.0.0.1:80"])]);
        let first = std::future::poll_fn(|cx| source.poll_instances(cx, None));
        let began = tokio::time::Instant::now();
        assert_eq!(shown(&first.await), ["10.0.0.1:80"]);
        assert_eq!(began.elapsed().as_secs(), 2);
        assert_eq!(lookups.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn dns_instances_refuse_what_is_no_name_with_a_port() {
        for (address, is_valid) in [("model:80", true), ("model", false), ("http://model:80", false)] {
            let made = DnsInstances::new(address);
            let kind = made.map(drop).map_err(|error| error.kind());
            assert_eq!(kind.is_ok(), is_valid, "{address}: {kind:?}");
        }
    }
}
