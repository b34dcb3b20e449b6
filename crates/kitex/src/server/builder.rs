//! The builder of servers. Owns their settings, and binds them to a socket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{RecvTimeout, check_service_name};
use kitex_grpc::GrpcConfig;
use kitex_thrift::Limits;
use stream_core::handler::{OnCancel, ServerConfig};
use stream_core::observe::Observer;
use stream_core::server::Listener;
use stream_core::{MemoryBudget, ThreadPerCore};
use tower_layer::Layer;
use ttstream::SocketConfig;
use ttstream::proto::Config;

use super::bound::{Server, Settings};
use super::error::BindError;
use super::readiness::{Drain, Readiness};
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
    readiness: Vec<Readiness>,
}

/// A layer, as a function.
type Wrap = Box<dyn Fn(Arc<dyn Service>) -> Arc<dyn Service> + Send + Sync>;

impl Server {
    /// Returns a builder of a server with the service name `name`, which a cancel adds to its path.
    pub fn builder(name: impl Into<String>) -> ServerBuilder {
        ServerBuilder::new(name)
    }
}

impl ServerBuilder {
    /// Returns a builder of a server with the service name `name`, which a cancel adds to its path.
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
            readiness: Vec::new(),
        }
    }

    /// Returns the server's own service name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets a handler for methods that no service has, for streams and ping-pong calls. Such a call is raw: see
    /// [`Call::into_raw`](super::Call::into_raw). Its method has the names that the client sent, and the mode
    /// [`Bidirectional`](crate::StreamingMode::Bidirectional) or [`PingPong`](crate::StreamingMode::PingPong).
    /// Default: such calls are refused.
    pub fn fallback(mut self, service: impl Fallback) -> Self {
        self.fallback = Some(Arc::new(service));
        self
    }

    /// Adds a service; several may share the port.
    pub fn service(mut self, service: impl Service) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// Adds middleware that wraps every call of every service. The first layer added is the outermost.
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Arc<dyn Service>> + Send + Sync + 'static,
        L::Service: Service,
    {
        self.layers.push(Box::new(move |service| Arc::new(layer.layer(service))));
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

    /// Sets what happens to a handler whose stream is canceled. Default: it is notified, and dropped if it has not
    /// returned after 1 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kitex::Server;
    /// use kitex::server::OnCancel;
    ///
    /// // Handlers get 3 s to save their state; other code of this server drops them at once.
    /// let server = Server::builder("model").on_cancel(OnCancel::NotifyThenDrop(Duration::from_secs(3)));
    /// ```
    pub fn on_cancel(mut self, policy: OnCancel) -> Self {
        self.config.on_cancel = policy;
        self
    }

    /// Sets the [`on_cancel`](Self::on_cancel) policy of one method, by its names in the IDL; it overrides the server's.
    pub fn on_cancel_of(
        mut self,
        service: impl Into<String>,
        method: impl Into<String>,
        policy: OnCancel,
    ) -> Self {
        self.policies.push(Policy { service: service.into(), method: method.into(), on_cancel: policy });
        self
    }

    /// Sets flow control windows, send buffers (backpressure) and limits of each connection.
    pub fn connection(mut self, config: Config) -> Self {
        self.connection = config;
        self
    }

    /// Sets the timeouts of each connection's socket. TCP keepalive is always on.
    pub fn socket(mut self, config: SocketConfig) -> Self {
        self.socket = config;
        self
    }

    /// Sets the limits of each gRPC connection.
    pub fn grpc(mut self, config: GrpcConfig) -> Self {
        self.grpc = config;
        self
    }

    /// Sets how many handlers may run at the same time on one connection. A handler counts until it returns, even if its
    /// stream has ended. A stream beyond the limit is refused with
    /// [`Code::TOO_MANY_STREAMS`](crate::Code::TOO_MANY_STREAMS), by gRPC with REFUSED_STREAM. Default: 1,024.
    pub fn max_concurrent_streams(mut self, limit: usize) -> Self {
        self.config.max_concurrent_streams = limit;
        self
    }

    /// Sets how many handlers of streams and ping-pong calls may run at the same time on all connections together. Further ones wait
    /// if [`max_queued`](Self::max_queued) permits it, and are refused otherwise, with
    /// [`Code::TOO_MANY_STREAMS`](crate::Code::TOO_MANY_STREAMS) (by gRPC with REFUSED_STREAM) and a text that names the limit.
    /// Clients of this crate then open them at another server. The last sixteenth of a limit of 1,024 or more is for connections that
    /// run fewer handlers than others, so that one client does not take all. Default: 65,536.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kitex::Server;
    ///
    /// // A model that computes eight answers at once. 32 more callers wait, 2 s at most.
    /// let server = Server::builder("model").max_handlers(8).max_queued(32).max_queue_wait(Duration::from_secs(2));
    /// ```
    pub fn max_handlers(mut self, limit: usize) -> Self {
        self.config.max_handlers = limit;
        self
    }

    /// Sets the memory that connections may hold for messages that were received and not taken, headers, and what waits to be
    /// written; see
    /// [`MemoryBudget`]. Default: that of the process.
    pub fn memory_budget(mut self, budget: MemoryBudget) -> Self {
        self.config.memory = budget;
        self
    }

    /// Sets how many streams and calls may wait for a handler while [`max_handlers`](Self::max_handlers) are running: first come,
    /// first served. A cancel or deadline ends one that waits, without a handler. Default: 0.
    pub fn max_queued(mut self, limit: usize) -> Self {
        self.config.max_queued = limit;
        self
    }

    /// Sets how long a stream or call may wait for a handler; then it is refused as by [`max_handlers`](Self::max_handlers).
    /// Default: 1 s.
    pub fn max_queue_wait(mut self, wait: Duration) -> Self {
        self.config.max_queue_wait = wait;
        self
    }

    /// Sets how many streams and ping-pong calls may begin per second, on all connections together; 0 for no limit, as in Kitex.
    /// Further ones are refused as by [`max_handlers`](Self::max_handlers). The limit is a token bucket: a tenth of it is added each
    /// 100 ms, and that of one second is kept at most. Default: no limit.
    pub fn max_qps(mut self, limit: u32) -> Self {
        self.config.max_qps = (limit > 0).then_some(limit);
        self
    }

    /// Sets the timeout of each Recv of a handler; then the stream ends with
    /// [`Code::RECV_TIMEOUT`](crate::Code::RECV_TIMEOUT). Default: none.
    pub fn recv_timeout(mut self, timeout: RecvTimeout) -> Self {
        self.config.recv_timeout = Some(timeout);
        self
    }

    /// Sets how long each Send of a handler may wait for backpressure; then its stream ends with
    /// [`Code::SEND_TIMEOUT`](crate::Code::SEND_TIMEOUT). Default: no timeout.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.config.send_timeout = Some(timeout);
        self
    }

    /// Sets the time between the start of a shutdown and the handover. [`Service::draining`] is called at its start, and calls
    /// are still accepted during the delay: time for load balancers to choose another server. The exit wait begins after
    /// it and the handover. Default: none.
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.config.drain_delay = delay;
        self
    }

    /// Sets how long a server that shuts down still accepts streams, calls and connections after it has notified its
    /// clients to use other servers: those that were already on their way. For as long again, streams are refused, then the
    /// listener is closed. Both end early when no connection is left. Default 100 ms.
    pub fn handover(mut self, handover: Duration) -> Self {
        self.config.handover = handover;
        self
    }

    /// Sets how long handlers and tasks spawned with [`Context::spawn`](crate::Context::spawn) may continue at a graceful
    /// shutdown. Default: 5 s. Then handlers are canceled and have the time of their [`OnCancel`] policy; spawned tasks
    /// have the longest of these times, or `exit_wait` again if that is longer.
    pub fn exit_wait(mut self, wait: Duration) -> Self {
        self.config.exit_wait = wait;
        self
    }

    /// Sets how long a new connection may take to send its first eight bytes, by which the protocol is detected.
    /// Default: 5 s.
    pub fn preface_timeout(mut self, timeout: Duration) -> Self {
        self.config.preface_timeout = timeout;
        self
    }

    /// Uses TLS on every connection; one without TLS is closed and logged, unless
    /// [`ServerTlsBuilder::allow_plaintext`](kitex_tls::ServerTlsBuilder::allow_plaintext) allows it. Handlers get the certificates
    /// of a client from their context: `ctx.extension::<PeerCertificates>()`. Default: no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: kitex_tls::ServerTls) -> Self {
        self.config.acceptor = Some(Arc::new(tls));
        self
    }

    /// Sets how long the TLS handshake of a new connection may take. Default: 10 s.
    #[cfg(feature = "tls")]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.config.handshake_timeout = timeout;
        self
    }

    /// Sets the maximum number of connections whose TLS handshake is not complete; further ones are closed. They count towards
    /// [`max_connections`](Self::max_connections) too. Default: 1,024.
    #[cfg(feature = "tls")]
    pub fn max_handshakes(mut self, limit: usize) -> Self {
        self.config.max_handshakes = limit;
        self
    }

    /// Sets how long a connection may be without a stream before it is closed. Default: 10 min.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// Makes `readiness` not ready until this server is bound, and again, for good, when it begins to shut down: before the
    /// [`drain_delay`](Self::drain_delay).
    pub fn readiness(mut self, readiness: &Readiness) -> Self {
        readiness.expect();
        self.readiness.push(readiness.clone());
        self
    }

    /// Adds an observer of each call, stream or ping-pong. Observers are called in the order in which they were added.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.config.observers = self.config.observers.with(observer);
        self
    }

    /// Sets the maximum number of open connections; further ones are closed. Default: 65,536.
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.config.max_connections = limit;
        self
    }

    /// Serves each connection on the next of these threads; see [`ThreadPerCore`] for benefits and costs. Default: the runtime
    /// that [`Server::serve`] runs on.
    pub fn cores(mut self, cores: ThreadPerCore) -> Self {
        self.config.cores = Some(cores);
        self
    }

    /// Binds the server to `host:port`, to `:port` on every interface, IPv6 and IPv4, or to a Unix socket by its
    /// path (`/run/model.sock`, `unix:model.sock`). Connections are queued from then on; [`Server::serve`] serves them.
    ///
    /// # Errors
    /// [`BindError`]: the name, the services or the address cannot be used.
    pub async fn bind(self, address: &str) -> Result<Server, BindError> {
        let listen = |source| BindError::Listen { address: address.to_owned(), source };
        let readiness = self.readiness.clone();
        let (router, settings) = self.route()?;
        let listener = stream_core::server::bind(address).await.map_err(listen)?;
        let server = Server::new(listener, router, settings).map_err(listen)?;
        readiness.iter().for_each(Readiness::bound);
        Ok(server)
    }

    /// Returns a server that accepts the connections of `listener`: a bound `TcpListener` or `UnixListener` of
    /// tokio, a [`MemoryListener`](super::MemoryListener), or a custom [`Listener`].
    ///
    /// # Errors
    /// [`BindError`]: the name or the services cannot be used.
    pub fn listen(self, listener: impl Listener) -> Result<Server, BindError> {
        let readiness = self.readiness.clone();
        let (router, settings) = self.route()?;
        let listen = |source| BindError::Listen { address: "the listener".to_owned(), source };
        let server = Server::new(listener, router, settings).map_err(listen)?;
        readiness.iter().for_each(Readiness::bound);
        Ok(server)
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
            readiness,
        } = self;
        config.service = Arc::from(name);
        let drains = readiness.into_iter().map(|readiness| Arc::new(Drain(readiness)) as Arc<dyn Service>);
        let notified = services.iter().cloned().chain(drains).collect();
        let wrap = |service| layers.iter().rev().fold(service, |service, layer| layer(service));
        let services = services.into_iter().map(wrap).collect();
        let router = Router::new(config.service.clone(), services, fallback, policies, messages)?;
        let router = router.notifying(notified);
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
