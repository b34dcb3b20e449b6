//! Listeners of a server: TCP, Unix sockets, memory, or a user's own.

use std::fmt;
use std::io;
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, mpsc};

use super::tcp;
use crate::BoxFuture;
use crate::io::{Address, Io, unix_path};

/// Accepts connections for a server.
pub trait Listener: fmt::Debug + Send + Sync + 'static {
    /// Waits for the next connection. Cancel-safe: no connection is lost.
    ///
    /// # Errors
    /// The system's. The server logs it and tries again after a pause.
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>>;

    /// Returns a connection that waits to be accepted, `None` if there is none. Called until then, before a server that shuts down
    /// drops its listener. Default: `None`, so that those that wait are lost.
    ///
    /// # Errors
    /// The system's.
    fn accept_queued(&self) -> io::Result<Option<Incoming>> {
        Ok(None)
    }

    /// Returns the address that the listener is bound to.
    ///
    /// # Errors
    /// The system's.
    fn local_addr(&self) -> io::Result<Address>;
}

/// An accepted connection, not yet on the runtime that serves it.
#[derive(Debug)]
pub struct Incoming(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Ready(Io),
}

impl From<Io> for Incoming {
    fn from(io: Io) -> Self {
        Self(Kind::Ready(io))
    }
}

impl Incoming {
    /// Detaches the connection from the runtime that accepted it; the returned function attaches it to the
    /// runtime that it is called on, so that the thread that serves the connection receives its events.
    pub(super) fn detach(self) -> impl FnOnce() -> io::Result<Io> + Send {
        let detached = match self.0 {
            Kind::Tcp(stream) => stream.into_std().map(Detached::Tcp),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.into_std().map(Detached::Unix),
            Kind::Ready(io) => Ok(Detached::Ready(io)),
        };
        move || match detached? {
            Detached::Tcp(stream) => Io::tcp(TcpStream::from_std(stream)?),
            #[cfg(unix)]
            Detached::Unix(stream) => Io::unix(UnixStream::from_std(stream)?),
            Detached::Ready(io) => Ok(io),
        }
    }

    /// Returns the connection on the runtime that accepted it.
    pub(super) fn into_io(self) -> io::Result<Io> {
        match self.0 {
            Kind::Tcp(stream) => Io::tcp(stream),
            #[cfg(unix)]
            Kind::Unix(stream) => Io::unix(stream),
            Kind::Ready(io) => Ok(io),
        }
    }
}

enum Detached {
    Tcp(std::net::TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
    Ready(Io),
}

impl Listener for TcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async { self.accept().await.map(|(stream, _)| Incoming(Kind::Tcp(stream))) })
    }

    fn accept_queued(&self) -> io::Result<Option<Incoming>> {
        let Some(socket) = tcp::accept_queued(&SockRef::from(self))? else { return Ok(None) };
        Ok(Some(Incoming(Kind::Tcp(TcpStream::from_std(socket.into())?))))
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.local_addr().map(Address::Tcp)
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async { self.accept().await.map(|(stream, _)| Incoming(Kind::Unix(stream))) })
    }

    fn accept_queued(&self) -> io::Result<Option<Incoming>> {
        let Some(socket) = tcp::accept_queued(&SockRef::from(self))? else { return Ok(None) };
        Ok(Some(Incoming(Kind::Unix(UnixStream::from_std(socket.into())?))))
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.local_addr().map(Address::from)
    }
}

impl Listener for Box<dyn Listener> {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        (**self).accept()
    }

    fn accept_queued(&self) -> io::Result<Option<Incoming>> {
        (**self).accept_queued()
    }

    fn local_addr(&self) -> io::Result<Address> {
        (**self).local_addr()
    }
}

/// Binds to `host:port`, to `:port` on every interface, or to the path of a Unix socket, which begins with
/// `/` or `unix:`. A stale socket file is replaced.
///
/// # Errors
/// The system's.
pub async fn bind(address: &str) -> io::Result<Box<dyn Listener>> {
    match unix_path(address) {
        #[cfg(unix)]
        Some(path) => Ok(Box::new(bind_unix(path).await?)),
        #[cfg(not(unix))]
        Some(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")),
        None => Ok(Box::new(tcp::listen(address).await?)),
    }
}

/// Go's listener removes its file when it closes; a stale file is left by a process that was killed.
#[cfg(unix)]
async fn bind_unix(path: &str) -> io::Result<UnixListener> {
    let listener = bind_unix_path(path).await?;
    tcp::deepen(&SockRef::from(&listener))?;
    Ok(listener)
}

#[cfg(unix)]
async fn bind_unix_path(path: &str) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
            if UnixStream::connect(path).await.is_err_and(refused) {
                std::fs::remove_file(path)?;
                return UnixListener::bind(path);
            }
            Err(error)
        }
        bound => bound,
    }
}

/// Accepts the connections of its [`MemoryConnector`]s. Needs no port, no file and no reactor, so that a
/// client and a server can run in one test, on a paused clock.
#[derive(Debug)]
pub struct MemoryListener {
    address: Address,
    incoming: Mutex<mpsc::Receiver<Io>>,
}

/// Connects to one [`MemoryListener`]. Clones connect to the same listener.
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    outgoing: Arc<mpsc::Sender<Io>>,
}

/// The capacity of each direction of an in-memory connection, in bytes.
const CAPACITY: usize = 64 * 1024;
/// The largest number of connections that wait to be accepted.
const BACKLOG: usize = 128;

impl MemoryListener {
    /// Returns a listener and a connector to it.
    pub fn new() -> (Self, MemoryConnector) {
        let (end, _) = Io::pair(1);
        let (listener, outgoing) = Self::bound_to(end.local_addr().clone());
        (listener, MemoryConnector { outgoing: Arc::new(outgoing) })
    }

    /// Returns a listener at `address`, and what connections are sent to it through.
    #[doc(hidden)]
    pub fn bound_to(address: Address) -> (Self, mpsc::Sender<Io>) {
        let (outgoing, incoming) = mpsc::channel(BACKLOG);
        (Self { address, incoming: Mutex::new(incoming) }, outgoing)
    }
}

impl Listener for MemoryListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async {
            match self.incoming.lock().await.recv().await {
                Some(io) => Ok(io.into()),
                // None can connect any more.
                None => std::future::pending().await,
            }
        })
    }

    fn accept_queued(&self) -> io::Result<Option<Incoming>> {
        let next = self.incoming.try_lock().ok().and_then(|mut incoming| incoming.try_recv().ok());
        Ok(next.map(Incoming::from))
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.address.clone())
    }
}

impl MemoryConnector {
    /// Returns a new connection; waits while too many wait to be accepted.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused): the listener was dropped.
    pub async fn connect(&self) -> io::Result<Io> {
        let (ours, theirs) = Io::pair(CAPACITY);
        match self.outgoing.send(theirs).await {
            Ok(()) => Ok(ours),
            Err(_) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the server is gone")),
        }
    }
}
