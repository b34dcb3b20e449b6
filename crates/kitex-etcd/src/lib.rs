//! Service discovery and registration by etcd, compatible with `registry-etcd` v0.3.0 of Kitex: its servers are found by
//! clients here, and servers here by its clients. Unofficial: not affiliated with CloudWeGo.
//!
//! ```no_run
//! use kitex_etcd::{Etcd, Instance};
//!
//! # async fn run() -> Result<(), kitex_etcd::EtcdError> {
//! let etcd = Etcd::new(["10.0.0.1:2379", "10.0.0.2:2379"]);
//!
//! // A client: `Client::builder("model").addresses(instances)`.
//! let instances = etcd.discover("model")?;
//!
//! // A server, after it has bound its address:
//! let registration = etcd.register("model", Instance::new("10.0.0.7:8888").with_weight(20)).await?;
//!
//! // Before it drains: `server.serve_until(async { stop.await; registration.deregister().await; })`.
//! registration.deregister().await?;
//! # Ok(())
//! # }
//! ```
//!
//! etcd's JSON gateway is used, over HTTP/1.1: `protoc` is not needed to build this crate. The feature `tls` adds TLS, with CAs and
//! a certificate of the client: `Etcd::tls`.
//!
//! - **Discovery** reads all instances, and then watches from that revision on. If the watch is lost, or its revision was
//!   compacted, it reads them again; every 30 s it does so in any case. While etcd cannot be reached the last instances stay.
//! - **Registration** has a lease of 60 s. It is renewed every third of that, and made again if it has expired or
//!   if its key is gone.

mod discover;
mod error;
mod http;
mod record;
mod register;
mod socket;

use std::sync::Arc;
use std::time::Duration;

pub use discover::EtcdInstances;
pub use error::EtcdError;
use http::Gateway;
pub use register::Registration;
use stream_core::client::Connector;
pub use stream_core::client::Instance;

/// The prefix of all keys, as in Kitex.
const PREFIX: &str = "kitex/registry-etcd";

/// The time limit of one operation, as in Kitex.
const OPERATION: Duration = Duration::from_secs(3);

/// The time to live of a registration whose process is gone, as in Kitex.
const LEASE: Duration = Duration::from_secs(60);

/// How long a server that was deregistered waits until its clients know: Kitex's read the instances every 5 s.
const REFRESH: Duration = Duration::from_secs(5);

/// A watch is replaced after this time: its connection may have been lost without a sign.
const RESYNC: Duration = Duration::from_secs(30);

/// A cluster of etcd. A clone is cheap, and is the same cluster.
#[derive(Clone, Debug)]
pub struct Etcd {
    endpoints: Vec<String>,
    /// `None`: no TLS.
    tls: Option<Arc<dyn Connector>>,
    user: Option<(String, String)>,
    prefix: String,
    timeout: Duration,
    lease: Option<Duration>,
    refresh: Duration,
    resync: Duration,
}

impl Etcd {
    /// Returns the cluster with these members, as `host:port`, or with `http://` or `https://` before it. They are tried in
    /// turn.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            tls: None,
            user: None,
            prefix: PREFIX.to_owned(),
            timeout: OPERATION,
            lease: None,
            refresh: REFRESH,
            resync: RESYNC,
        }
    }

    /// Uses TLS on every connection, never plaintext: endpoints begin with `https://` or have no scheme. The handshake counts
    /// towards the time limit of an operation. `kitex::tls::ClientTls` is the same type. Default: no TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "as the builders of kitex have it")]
    pub fn tls(mut self, tls: kitex_tls::ClientTls) -> Self {
        self.tls = Some(Arc::new(tls.connector(Arc::new(stream_core::client::SystemConnector), &[])));
        self
    }

    /// Sets the user and the password, if etcd requires them.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Sets the prefix of all keys. Default: `kitex/registry-etcd`, as in Kitex.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the time limit of one operation. A third of it is for the connection, with its TLS handshake. Default: 3 s, as in
    /// Kitex.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long the registration of a process that is gone remains, in whole seconds, at least 1 s. Default: the
    /// seconds in the environment variable `KITEX_ETCD_REGISTRY_LEASE_TTL`, or 60 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Sets how long [`Registration::deregister`] waits after the key was removed, so that clients know it. Default:
    /// 5 s, since Kitex's clients read the instances that often.
    #[must_use]
    pub fn refresh(mut self, refresh: Duration) -> Self {
        self.refresh = refresh;
        self
    }

    /// Sets how often all instances are read again although their watch shows no change, since a connection may be lost
    /// without a sign. Default: 30 s.
    #[must_use]
    pub fn resync(mut self, interval: Duration) -> Self {
        self.resync = interval;
        self
    }

    /// Returns the instances of `service`, for the client's `addresses`. They are read on a task, which ends when the last
    /// clone is dropped. To be called in a tokio runtime.
    ///
    /// # Errors
    /// The name of the service is empty or has a `/`; the scheme of an endpoint is not what `tls` says; there is
    /// no tokio runtime.
    pub fn discover(&self, service: &str) -> Result<EtcdInstances, EtcdError> {
        EtcdInstances::start(self.gateway()?, record::prefix(&self.prefix, service)?, self.resync)
    }

    /// Registers `instance` of `service`, once the server is bound. An unspecified host of its address is replaced by the
    /// address of this machine's default route; the environment variables `KITEX_IP_TO_REGISTRY` and
    /// `KITEX_PORT_TO_REGISTRY` replace host and port.
    ///
    /// # Errors
    /// The name of the service is empty or has a `/`, the address is not `host:port`, the scheme of an endpoint is not what
    /// `tls` says, or etcd cannot be reached or refuses.
    pub async fn register(&self, service: &str, instance: Instance) -> Result<Registration, EtcdError> {
        let prefix = record::prefix(&self.prefix, service)?;
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (ip, port) = (variable("KITEX_IP_TO_REGISTRY"), variable("KITEX_PORT_TO_REGISTRY"));
        let mut instance = instance;
        let address = record::public_address(&instance.address, ip.as_deref(), port.as_deref())?;
        instance.address = address.into();
        let by_environment =
            || variable("KITEX_ETCD_REGISTRY_LEASE_TTL")?.parse().ok().map(Duration::from_secs);
        let lease = self.lease.or_else(by_environment).unwrap_or(LEASE);
        Registration::start(self.gateway()?, &prefix, &instance, lease, self.refresh).await
    }

    fn gateway(&self) -> Result<Arc<Gateway>, EtcdError> {
        let (scheme, excluded) = match &self.tls {
            None => ("http://", "https://"),
            Some(_) => ("https://", "http://"),
        };
        let authority = |endpoint: &String| match endpoint.starts_with(excluded) {
            true => Err(EtcdError::BadScheme(endpoint.clone())),
            false => {
                let authority = endpoint.strip_prefix(scheme).unwrap_or(endpoint);
                Ok(authority.trim_end_matches('/').to_owned())
            }
        };
        let endpoints = self.endpoints.iter().map(authority).collect::<Result<_, _>>()?;
        Ok(Arc::new(Gateway::new(endpoints, self.tls.clone(), self.user.clone(), self.timeout)))
    }
}
