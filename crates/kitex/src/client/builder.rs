//! The builder of clients. Owns their settings and the checks of these.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kerrors::{BadServiceName, RecvTimeout, check_service_name};
use kitex_grpc::{GrpcConfig, GrpcTransport};
use kitex_thrift::Limits;
use stream_core::MemoryBudget;
use stream_core::client::{Balance, ClientConfig, Connector, Discover, PoolKind, Retry, StaticAddresses};
use stream_core::dial::address_fault;
use stream_core::io::unix_path;
use stream_core::observe::Observer;
use thiserror::Error;
use tower_layer::Layer;
use ttstream::proto::Config;
use ttstream::{CallProtocol, SocketConfig, TtStream};

use super::Client;
use super::direct::{Direct, Shared};
use super::options::CallOptions;
use crate::invoke::Invoke;
use crate::message_layer::{MessageLayer, MessageSettings};
use crate::metainfo::Propagation;

/// A layer, as a function.
type Wrap = Box<dyn Fn(Arc<dyn Invoke>) -> Arc<dyn Invoke> + Send + Sync>;

/// Builds a [`Client`].
#[must_use = "a builder does nothing until it builds"]
pub struct ClientBuilder {
    service: String,
    caller: Option<String>,
    addresses: Option<Box<dyn Discover>>,
    config: ClientConfig,
    options: CallOptions,
    layers: Vec<Wrap>,
    messages: MessageSettings,
    timeout: Option<Duration>,
    transport: Transport,
    ttstream: TtStream,
    grpc: GrpcTransport,
    propagation: Propagation,
    /// Whether addresses are not checked, because a custom connector interprets them.
    any_address: bool,
    #[cfg(feature = "tls")]
    tls: Option<kitex_tls::ClientTls>,
}

/// The transport of a client's streams and calls. A server accepts all of them on one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Streams by TTHeader Streaming, ping-pong calls by TTHeader or framed Thrift; see
    /// [`ClientBuilder::call_protocol`].
    #[default]
    TtHeader,
    /// Streams and ping-pong calls by gRPC. Errors are then [`kerrors::Error::Grpc`].
    Grpc,
}

/// Why a client cannot be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A name is not valid in a cancel path.
    #[error(transparent)]
    Name(#[from] BadServiceName),
    /// No address is set.
    #[error("client of {service} has no address: call ClientBuilder::address")]
    NoAddress {
        /// The service.
        service: String,
    },
    /// An address is not `host:port`.
    #[error("address {address:?} is not host:port{}", advice(address))]
    BadAddress {
        /// The address, as given.
        address: String,
    },
}

impl Client {
    /// Returns a builder of a client of `service`, the name under which the callee is known.
    pub fn builder(service: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(service)
    }
}

impl ClientBuilder {
    /// Returns a builder of a client of `service`, the name under which the callee is known.
    pub fn new(service: impl Into<String>) -> Self {
        let service = service.into();
        Self {
            service,
            caller: None,
            addresses: None,
            config: ClientConfig::default(),
            options: CallOptions::default(),
            layers: Vec::new(),
            messages: MessageSettings::default(),
            timeout: None,
            transport: Transport::default(),
            ttstream: TtStream::default(),
            grpc: GrpcTransport::default(),
            propagation: Propagation::default(),
            any_address: false,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Sets the caller's own service name, which a cancel adds to its path. Default: the service of the handler under
    /// whose context a call is made; no name for other calls.
    pub fn caller(mut self, name: impl Into<String>) -> Self {
        self.caller = Some(name.into());
        self
    }

    /// Sets the address of the service: `host:port`, or the path of a Unix socket (`/run/model.sock`,
    /// `unix:model.sock`).
    pub fn address(self, address: impl Into<String>) -> Self {
        self.addresses(StaticAddresses::new([address.into()]))
    }

    /// Sets the source of the service's instances: a list ([`StaticAddresses`]), a file
    /// ([`InstanceFile`](super::InstanceFile)), the addresses of a DNS name ([`DnsInstances`](super::DnsInstances)), what the
    /// program sets ([`SharedInstances`](super::SharedInstances)), what a task of your own asks or watches
    /// ([`WatchedInstances`](super::WatchedInstances)), or a service registry.
    pub fn addresses(mut self, source: impl Discover) -> Self {
        self.addresses = Some(Box::new(source));
        self
    }

    /// Sets the balancer, which selects the instance that a stream or call goes to. Default:
    /// [`LeastStreams`](super::LeastStreams).
    pub fn balance(mut self, balance: impl Balance) -> Self {
        self.config.balance = Arc::new(balance);
        self
    }

    /// Sets the connector, which dials an address. Default: [`SystemConnector`](super::SystemConnector). With another
    /// connector, addresses may have any form.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.config.connector = Arc::new(connector);
        self.any_address = true;
        self
    }

    /// Uses TLS on every connection, those of the [`connector`](Self::connector) too; never plaintext. The handshake counts
    /// towards [`connect_timeout`](Self::connect_timeout). One that fails fails the call, as a dial does. Default: no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: kitex_tls::ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets how streams share connections. Default: mux with one connection per core.
    pub fn pool(mut self, pool: PoolKind) -> Self {
        self.config.pool = pool;
        self
    }

    /// Sets the timeout of a dial. Default: 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// Sets how long a connection may be without a stream or a ping-pong call before it is closed, in every kind of pool.
    /// Default 60 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// Sets the timeout of each Recv; then the stream ends with
    /// [`Code::RECV_TIMEOUT`](crate::Code::RECV_TIMEOUT). Default: none.
    pub fn recv_timeout(mut self, timeout: RecvTimeout) -> Self {
        self.options.recv_timeout = Some(timeout);
        self
    }

    /// Sets how long each Send may wait for backpressure; then the stream ends with
    /// [`Code::SEND_TIMEOUT`](crate::Code::SEND_TIMEOUT). Default: no timeout.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.options.send_timeout = Some(timeout);
        self
    }

    /// Sets the memory that connections may hold for messages that were received and not taken; see [`MemoryBudget`]. Default:
    /// that of the process.
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.ttstream.memory = budget.clone();
        self.grpc.memory = budget;
        self
    }

    /// Adds middleware that wraps every call and every opening of a stream. The first layer added is the outermost.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Arc<dyn Invoke>> + Send + Sync + 'static,
        L::Service: Invoke,
    {
        self.layers.push(Box::new(move |caller| Arc::new(layer.layer(caller))));
        self
    }

    /// Adds middleware for each message of each stream. The last layer added is the nearest to the wire.
    pub fn message_layer(mut self, layer: impl MessageLayer) -> Self {
        self.messages = self.messages.with_layer(layer);
        self
    }

    /// Sets the limits of decoding one message: depth and memory. Default: see [`Limits`].
    pub fn decode_limits(mut self, limits: Limits) -> Self {
        self.messages = self.messages.with_limits(limits);
        self
    }

    /// Sets the timeout of a whole stream or call; the deadline of its context applies too. Then a stream ends with
    /// [`Code::STREAM_TIMEOUT`](crate::Code::STREAM_TIMEOUT). Default: no timeout.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the protocol of ping-pong calls. Default: TTHeader, which carries metainfo and business errors.
    pub fn call_protocol(mut self, protocol: CallProtocol) -> Self {
        self.ttstream.call_protocol = protocol;
        self
    }

    /// Sets whether transient metainfo from the caller is passed on. Default: it is not.
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = propagation;
        self
    }

    /// Adds an observer of each call, stream or ping-pong. Observers are called in the order in which they were added.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.config.observers = self.config.observers.with(observer);
        self
    }

    /// Sets when a stream or call that its server has refused, or never read, is tried again on another connection, and
    /// whether one whose connection was lost later is ([`Retry::idempotent`]). Default: at most twice, within a budget; see
    /// [`Retry`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.config.retry = retry;
        self
    }

    /// Sets the transport of streams and calls. Default: [`Transport::TtHeader`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Sets the timeouts of each connection's socket, for [`Transport::TtHeader`]. TCP keepalive is always on.
    pub fn socket(mut self, config: SocketConfig) -> Self {
        self.ttstream.socket = config;
        self
    }

    /// Sets flow control windows, send buffers (backpressure) and limits of each connection of [`Transport::TtHeader`].
    pub fn connection(mut self, config: Config) -> Self {
        self.ttstream.connection = config;
        self
    }

    /// Sets the limits of each connection of [`Transport::Grpc`].
    pub fn grpc(mut self, config: GrpcConfig) -> Self {
        self.grpc.connection = config;
        self
    }

    /// Builds the client. Nothing is dialed before the first call.
    ///
    /// # Errors
    /// [`BuildError`]: a name or an address is invalid, or there is no address.
    pub fn build(self) -> Result<Client, BuildError> {
        #[cfg(feature = "tls")]
        let this = self.secured();
        #[cfg(not(feature = "tls"))]
        let this = self;
        this.build_secured()
    }

    /// Puts TLS, if it is set, on top of the connector.
    #[cfg(feature = "tls")]
    fn secured(mut self) -> Self {
        if let Some(tls) = self.tls.take() {
            let alpn: &[&str] = match self.transport {
                Transport::TtHeader => &[],
                Transport::Grpc => &["h2"],
            };
            self.config.connector = Arc::new(tls.connector(self.config.connector, alpn));
        }
        self
    }

    fn build_secured(self) -> Result<Client, BuildError> {
        check_service_name(&self.service)?;
        self.caller.as_deref().map_or(Ok(()), check_service_name)?;
        let Some(addresses) = self.addresses else {
            return Err(BuildError::NoAddress { service: self.service });
        };
        let invalid = |address: &&str| !self.any_address && fault(address).is_some();
        if let Some(address) = known_addresses(&*addresses).iter().map(|address| &**address).find(invalid) {
            return Err(BuildError::BadAddress { address: address.to_owned() });
        }
        let shared = Shared {
            caller: self.caller.map(Arc::from),
            service: Arc::from(self.service),
            propagation: self.propagation,
            timeout: self.timeout,
            anonymous: Arc::from(""),
        };
        let raw = match self.transport {
            Transport::TtHeader => stream_core::client::Client::new(self.ttstream, addresses, self.config),
            Transport::Grpc => stream_core::client::Client::new(self.grpc, addresses, self.config),
        };
        let direct = Direct { raw, shared: Arc::new(shared) };
        let wrap = |caller, layer: &Wrap| layer(caller);
        let layered = (!self.layers.is_empty())
            .then(|| self.layers.iter().rev().fold(Arc::new(direct.clone()) as Arc<dyn Invoke>, wrap));
        let (messages, options) = (self.messages, self.options);
        Ok(Client { direct, layered, messages, options })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("service", &self.service).finish_non_exhaustive()
    }
}

/// Returns the addresses that a source has at once.
fn known_addresses(source: &dyn Discover) -> Vec<Arc<str>> {
    match source.poll_instances(&mut Context::from_waker(Waker::noop()), None) {
        Poll::Ready(set) => set.instances().iter().map(|instance| instance.address.clone()).collect(),
        Poll::Pending => Vec::new(),
    }
}

/// Returns why `address` is neither `host:port` nor the path of a Unix socket.
fn fault(address: &str) -> Option<&'static str> {
    match unix_path(address) {
        Some(path) if !path.is_empty() => None,
        _ => address_fault(address),
    }
}

fn advice(address: &str) -> String {
    fault(address).map(|fault| format!(": {fault}")).unwrap_or_default()
}
