//! What a server is made of, and its way to a socket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{RecvTimeout, check_service_name};
use kitex_grpc::GrpcConfig;
use kitex_thrift::Limits;
use stream_core::Cores;
use stream_core::handler::{OnCancel, ServerConfig};
use stream_core::observe::Observer;
use stream_core::server::Listener;
use tower_layer::Layer;
use ttstream::SocketConfig;
use ttstream::proto::Config;

use super::bound::{Server, Settings};
use super::error::BindError;
use super::router::{Policy, Router};
use super::service::{Fallback, Service};
use crate::message_layer::{MessageLayer, MessageSettings};

/// Builds a server.
#[must_use = "a builder does nothing until it binds"]
pub struct ServerBuilder {
    name: String,
    services: Vec<Arc<dyn Service>>,
    fallback: Option<Arc<dyn Fallback>>,
    policies: Vec<Policy>,
    layers: Vec<Wrap>,
    messages: MessageSettings,
    config: ServerConfig,
    connection: Config,
    socket: SocketConfig,
    grpc: GrpcConfig,
}

/// What a layer makes of a service.
type Wrap = Box<dyn Fn(Arc<dyn Service>) -> Arc<dyn Service> + Send + Sync>;

impl Server {
    /// Returns a builder of a server of the service `name`: the name that a cancel through it adds to its path.
    pub fn builder(name: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(name)
    }
}

impl ServerBuilder {
    /// Returns a builder of a server of the service `name`: the name that a cancel through it adds to its path.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            name,
            services: Vec::new(),
            fallback: None,
            policies: Vec::new(),
            layers: Vec::new(),
            messages: MessageSettings::default(),
            config: ServerConfig::default(),
            connection: Config::default(),
            socket: SocketConfig::default(),
            grpc: GrpcConfig::default(),
        }
    }

    /// Returns the server's own service name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Serves the calls of methods that no service has, streams and ping-pong calls alike. Such a call is raw: see
    /// [`Call::into_raw`](super::Call::into_raw). Its method has the names that the client sent, and the mode
    /// [`Bidirectional`](crate::StreamingMode::Bidirectional) or [`PingPong`](crate::StreamingMode::PingPong).
    /// Default: they are refused.
    pub fn fallback(mut self, service: impl Fallback) -> Self {
        self.fallback = Some(Arc::new(service));
        self
    }

    /// Adds a service; several may share the port.
    pub fn service(mut self, service: impl Service) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// Stands around every call of every service; what is added first stands outermost.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Arc<dyn Service>> + Send + Sync + 'static,
        L::Service: Service,
    {
        self.layers.push(Box::new(move |service| Arc::new(layer.layer(service))));
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

    /// What becomes of a handler whose stream is canceled. Default: dropped if it has not returned after
    /// 1 s.
    pub fn on_cancel(mut self, policy: OnCancel) -> Self {
        self.config.on_cancel = policy;
        self
    }

    /// The same for one method, by its names in the IDL.
    pub fn on_cancel_of(
        mut self,
        service: impl Into<String>,
        method: impl Into<String>,
        policy: OnCancel,
    ) -> Self {
        self.policies.push(Policy { service: service.into(), method: method.into(), on_cancel: policy });
        self
    }

    /// Sets the windows and limits of each connection.
    pub fn connection(mut self, config: Config) -> Self {
        self.connection = config;
        self
    }

    /// Sets the timeouts of each connection's socket.
    pub fn socket(mut self, config: SocketConfig) -> Self {
        self.socket = config;
        self
    }

    /// Sets the limits of each gRPC connection.
    pub fn grpc(mut self, config: GrpcConfig) -> Self {
        self.grpc = config;
        self
    }

    /// Sets how many handlers may run at the same time on one connection. A handler counts until it returns, even
    /// if its stream has ended; a stream beyond the limit is refused with code 12900, by gRPC with REFUSED_STREAM.
    /// Default 1,024.
    pub fn max_concurrent_streams(mut self, limit: usize) -> Self {
        self.config.max_concurrent_streams = limit;
        self
    }

    /// How long each Recv of a handler may wait. Default: as long as the stream lives.
    pub fn recv_timeout(mut self, timeout: RecvTimeout) -> Self {
        self.config.recv_timeout = Some(timeout);
        self
    }

    /// How long each Send of a handler may wait. Then its stream ends with 12904. Default: as long as the
    /// stream lives.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.config.send_timeout = Some(timeout);
        self
    }

    /// How long what runs may go on when the server shuts down: handlers, and what they have spawned with
    /// [`Context::spawn`](crate::Context::spawn). Default 5 s. Handlers that are canceled then have the time of their
    /// [`OnCancel`] policy, and what they have spawned that time or the exit wait once more, whichever is longer.
    pub fn exit_wait(mut self, wait: Duration) -> Self {
        self.config.exit_wait = wait;
        self
    }

    /// How long a new connection may take for its first eight bytes. Default 5 s.
    pub fn preface_timeout(mut self, timeout: Duration) -> Self {
        self.config.preface_timeout = timeout;
        self
    }

    /// How long a connection may be without a stream before it is closed. Default 10 min.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// Is told of each stream's life, after the observers before it.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.config.observers = self.config.observers.with(observer);
        self
    }

    /// Connections at once. Default 65,536.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.config.max_connections = limit;
        self
    }

    /// Serves each connection on the next of these threads; see [`Cores`] for what that gains and costs.
    /// Default: on the runtime that [`Server::serve`] runs on.
    pub fn cores(mut self, cores: Cores) -> Self {
        self.config.cores = Some(cores);
        self
    }

    /// Binds the server to `host:port`, to `:port` on every interface, IPv6 and IPv4, or to a Unix socket by its
    /// path (`/run/model.sock`, `unix:model.sock`). From then on connections queue; they are served by
    /// [`Server::serve`].
    ///
    /// # Errors
    /// [`BindError`]: the name, the services or the address cannot be used.
    pub async fn bind(self, address: &str) -> Result<Server, BindError> {
        let listen = |source| BindError::Listen { address: address.to_owned(), source };
        let (router, settings) = self.route()?;
        let listener = stream_core::server::bind(address).await.map_err(listen)?;
        Server::new(listener, router, settings).map_err(listen)
    }

    /// Returns a server that accepts the connections of `listener`: a bound `TcpListener` or `UnixListener` of
    /// tokio, a [`MemoryListener`](super::MemoryListener), or an own [`Listener`].
    ///
    /// # Errors
    /// [`BindError`]: the name or the services cannot be used.
    pub fn listen(self, listener: impl Listener) -> Result<Server, BindError> {
        let (router, settings) = self.route()?;
        let listen = |source| BindError::Listen { address: "the listener".to_owned(), source };
        Server::new(listener, router, settings).map_err(listen)
    }

    fn route(self) -> Result<(Router, Settings), BindError> {
        check_service_name(&self.name)?;
        let Self {
            name,
            services,
            fallback,
            policies,
            layers,
            messages,
            mut config,
            connection,
            socket,
            grpc,
        } = self;
        config.service = Arc::from(name);
        let wrap = |service| layers.iter().rev().fold(service, |service, layer| layer(service));
        let services = services.into_iter().map(wrap).collect();
        let router = Router::new(config.service.clone(), services, fallback, policies, messages)?;
        let mut protocols = ttstream::protocols(&connection, socket);
        protocols.extend(kitex_grpc::protocols(&grpc));
        Ok((router, Settings { config, protocols }))
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
