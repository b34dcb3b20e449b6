//! What a client is made of, and which of it makes no sense.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{BadServiceName, RecvTimeout, check_service_name};
use kitex_grpc::{GrpcConfig, GrpcTransport};
use kitex_thrift::Limits;
use stream_core::client::{AddressSource, ClientConfig, Connector, PoolKind, StaticAddresses};
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

/// What a layer makes of a caller.
type Wrap = Box<dyn Fn(Arc<dyn Invoke>) -> Arc<dyn Invoke> + Send + Sync>;

/// Builds a [`Client`].
#[must_use = "a builder does nothing until it builds"]
pub struct ClientBuilder {
    service: String,
    caller: Option<String>,
    addresses: Option<Box<dyn AddressSource>>,
    config: ClientConfig,
    options: CallOptions,
    layers: Vec<Wrap>,
    messages: MessageSettings,
    timeout: Option<Duration>,
    transport: Transport,
    ttstream: TtStream,
    grpc: GrpcTransport,
    propagation: Propagation,
    /// A connector of the user's knows what an address is.
    any_address: bool,
}

/// What carries the streams and calls of a client. A server speaks all of them on one port.
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
    /// A name cannot stand in a cancel path.
    #[error(transparent)]
    Name(#[from] BadServiceName),
    /// Nothing says where the service is.
    #[error("client of {service} has no address: call ClientBuilder::address")]
    NoAddress {
        /// The service.
        service: String,
    },
    /// An address is not `host:port`.
    #[error("address {address:?} is not host:port{}", advice(address))]
    BadAddress {
        /// As it was given.
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
        }
    }

    /// The caller's own service name: what a cancel puts on its path. Without it, calls under a handler's
    /// context have that handler's service as their caller, and other calls have no name.
    pub fn caller(mut self, name: impl Into<String>) -> Self {
        self.caller = Some(name.into());
        self
    }

    /// Sets where the service is: one `host:port`, or the path of a Unix socket (`/run/model.sock`, `unix:model.sock`).
    pub fn address(self, address: impl Into<String>) -> Self {
        self.addresses(StaticAddresses::new([address]))
    }

    /// Where the service is: a source of addresses.
    pub fn addresses(mut self, addresses: impl AddressSource) -> Self {
        self.addresses = Some(Box::new(addresses));
        self
    }

    /// Sets how an address becomes a connection. Default: [`SystemConnector`](super::SystemConnector). With another
    /// connector, addresses may have any form.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.config.connector = Arc::new(connector);
        self.any_address = true;
        self
    }

    /// How streams share connections. Default: mux with one connection a core.
    pub fn pool(mut self, pool: PoolKind) -> Self {
        self.config.pool = pool;
        self
    }

    /// How long a dial may take. Default 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// How long a shared connection may be without a stream before it is closed. Default 60 s. A long pool
    /// has its own.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How long each Recv may wait. Default: as long as the stream lives.
    pub fn recv_timeout(mut self, timeout: RecvTimeout) -> Self {
        self.options.recv_timeout = Some(timeout);
        self
    }

    /// How long each Send may wait. Then the stream ends with 12904. Default: as long as the stream lives.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.options.send_timeout = Some(timeout);
        self
    }

    /// Stands around every call and every opening of a stream; what is added first stands outermost.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Arc<dyn Invoke>> + Send + Sync + 'static,
        L::Service: Invoke,
    {
        self.layers.push(Box::new(move |caller| Arc::new(layer.layer(caller))));
        self
    }

    /// Stands at each message of each stream, nearer to the wire than those before it.
    pub fn message_layer(mut self, layer: impl MessageLayer) -> Self {
        self.messages = self.messages.with_layer(layer);
        self
    }

    /// Sets what decoding one message may cost: depth and memory. Default: see [`Limits`].
    pub fn decode_limits(mut self, limits: Limits) -> Self {
        self.messages = self.messages.with_limits(limits);
        self
    }

    /// How long a whole stream or call may take, beside the deadline of its context. Default: for ever.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How ping-pong calls travel. Default: TTHeader, which carries metainfo and business errors.
    pub fn call_protocol(mut self, protocol: CallProtocol) -> Self {
        self.ttstream.call_protocol = protocol;
        self
    }

    /// What becomes of the caller's transient metainfo. Default: it ends here.
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = propagation;
        self
    }

    /// Is told of each stream's life, after the observers before it.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.config.observers = self.config.observers.with(observer);
        self
    }

    /// Sets what carries streams and calls. Default: [`Transport::TtHeader`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Sets the timeouts of each connection's socket, for [`Transport::TtHeader`].
    pub fn socket(mut self, config: SocketConfig) -> Self {
        self.ttstream.socket = config;
        self
    }

    /// Sets the windows and limits of each connection of [`Transport::TtHeader`].
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
    /// [`BuildError`]: a name or an address that cannot be, or no address.
    pub fn build(self) -> Result<Client, BuildError> {
        check_service_name(&self.service)?;
        self.caller.as_deref().map_or(Ok(()), check_service_name)?;
        let Some(addresses) = self.addresses else {
            return Err(BuildError::NoAddress { service: self.service });
        };
        if let Some(address) =
            addresses.addresses().into_iter().find(|address| !self.any_address && fault(address).is_some())
        {
            return Err(BuildError::BadAddress { address });
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

/// Returns what keeps `address` from being `host:port` or the path of a Unix socket.
fn fault(address: &str) -> Option<&'static str> {
    match unix_path(address) {
        Some(path) if !path.is_empty() => None,
        _ => address_fault(address),
    }
}

fn advice(address: &str) -> String {
    fault(address).map(|fault| format!(": {fault}")).unwrap_or_default()
}
