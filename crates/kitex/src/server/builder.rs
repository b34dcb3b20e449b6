//! What a server is made of, and its way to a socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kerrors::{BadServiceName, RecvTimeout, check_service_name};
use kitex_grpc::GrpcConfig;
use stream_core::Cores;
use stream_core::handler::{OnCancel, ServerConfig};
use stream_core::observe::Observer;
use thiserror::Error;
use tower_layer::Layer;
use ttstream::proto::Config;

use super::Service;
use super::router::{Policy, Router};
use crate::middleware::{MessageLayer, MessageLayers};

/// Builds a server.
#[must_use = "a builder does nothing until it binds"]
pub struct ServerBuilder {
    name: String,
    services: Vec<Arc<dyn Service>>,
    policies: Vec<Policy>,
    layers: Vec<Wrap>,
    message_layers: MessageLayers,
    config: ServerConfig,
    connection: Config,
    grpc: GrpcConfig,
}

/// What a layer makes of a service.
type Wrap = Box<dyn Fn(Arc<dyn Service>) -> Arc<dyn Service> + Send + Sync>;

/// Why a server cannot be bound.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The name cannot stand in a cancel path.
    #[error(transparent)]
    Name(#[from] BadServiceName),
    /// Two services have one IDL name, and a method of one name: a call could not be told apart.
    #[error("service {service} is added twice: remove one")]
    Duplicate {
        /// The service's name in the IDL.
        service: String,
    },
    /// A policy is for a method that no service has.
    #[error("no service has a method {service}.{method}: check ServerBuilder::on_cancel_of")]
    NoSuchMethod {
        /// The service as it was given.
        service: String,
        /// The method as it was given.
        method: String,
    },
    /// The system refuses the address.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// As it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": stop the other process or choose another port",
        io::ErrorKind::PermissionDenied => ": choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => ": the host has no such address",
        io::ErrorKind::InvalidInput => ": give host:port",
        _ => "",
    }
}

impl ServerBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            services: Vec::new(),
            policies: Vec::new(),
            layers: Vec::new(),
            message_layers: MessageLayers::default(),
            config: ServerConfig::default(),
            connection: Config::default(),
            grpc: GrpcConfig::default(),
        }
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
        self.message_layers = self.message_layers.with(layer);
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

    /// Bounds of each connection. Set before [`recv_timeout`](Self::recv_timeout), which is one of them.
    pub fn connection(mut self, config: Config) -> Self {
        self.connection = config;
        self
    }

    /// Sets the limits of each gRPC connection. Set before [`recv_timeout`](Self::recv_timeout), which is one of
    /// them.
    pub fn grpc(mut self, config: GrpcConfig) -> Self {
        self.grpc = config;
        self
    }

    /// How long each Recv of a handler may wait. Default: as long as the stream lives.
    pub fn recv_timeout(mut self, timeout: RecvTimeout) -> Self {
        self.grpc.recv_timeout = Some(timeout);
        self.connection.recv_timeout = Some(timeout);
        self
    }

    /// How long each Send of a handler may wait. Then its stream ends with 12904. Default: as long as the
    /// stream lives.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.config.send_timeout = Some(timeout);
        self
    }

    /// How long what runs may go on when the server shuts down. Default 5 s.
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
    /// Default: on the runtime that [`BoundServer::serve`] runs on.
    pub fn cores(mut self, cores: Cores) -> Self {
        self.config.cores = Some(cores);
        self
    }

    /// Binds the server to `host:port`. From then on connections queue; they are served by
    /// [`BoundServer::serve`].
    ///
    /// # Errors
    /// [`BindError`]: the name, the services or the address cannot be.
    pub async fn bind(self, address: &str) -> Result<BoundServer, BindError> {
        check_service_name(&self.name)?;
        let Self { name, services, policies, layers, message_layers, mut config, connection, grpc } = self;
        config.service = Arc::from(name);
        let wrap = |service| layers.iter().rev().fold(service, |service, layer| layer(service));
        let services = services.into_iter().map(wrap).collect();
        let router = Router::new(config.service.clone(), services, policies, message_layers)?;
        let listen = |source| BindError::Listen { address: address.to_owned(), source };
        let mut protocols = ttstream::protocols(&connection);
        protocols.extend(kitex_grpc::protocols(&grpc));
        let raw = stream_core::server::Server::bind(address, router, config, protocols);
        let raw = raw.await.map_err(listen)?;
        let address = raw.local_addr().map_err(listen)?;
        Ok(BoundServer { raw, address })
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

#[cfg(unix)]
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without signals the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// A server that is bound to its address.
#[derive(Debug)]
#[must_use = "a server does nothing until it serves"]
pub struct BoundServer {
    raw: stream_core::server::Server<Router>,
    address: SocketAddr,
}

impl BoundServer {
    /// The address; with port 0 asked for, the port that was given.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `signal` completes, then shuts down: nothing new is begun (a new stream is refused with
    /// 12903), what runs may end within [`ServerBuilder::exit_wait`], and what is left is canceled, here
    /// and at the clients, with 12013. Returns as soon as nothing is left.
    pub async fn serve_until(self, signal: impl Future<Output = ()>) {
        self.raw.serve_until(signal).await;
    }

    /// Serves until the process is told to end (SIGTERM, or Ctrl-C), then shuts down as
    /// [`serve_until`](Self::serve_until) does.
    ///
    /// # Errors
    /// The system does not let the process listen to signals.
    pub async fn run(self) -> io::Result<()> {
        let told = told_to_end()?;
        self.raw.serve_until(told).await;
        Ok(())
    }

    /// Serves until the future is dropped; connections that are open then go on.
    pub async fn serve(self) {
        self.raw.serve().await;
    }
}
