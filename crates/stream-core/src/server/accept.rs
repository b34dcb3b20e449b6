//! The listener and its connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use kerrors::Side;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use super::handler::serve_stream;
use super::preface::{PREFACE_LEN, Protocol, detect};
use super::{Handler, ServerConfig};
use crate::driver::{read_loop, start};
use crate::io::Io;
use crate::unary::{CallProtocol, serve_calls};

/// A server that is bound to its address.
#[derive(Debug)]
pub struct Server<H> {
    listener: TcpListener,
    shared: Arc<Serving<H>>,
}

#[derive(Debug)]
pub(crate) struct Serving<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) config: ServerConfig,
    connections: AtomicUsize,
    /// Each connection listens as long as it is open.
    pub(crate) phase: watch::Sender<Phase>,
}

/// How far the server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Nothing new is begun.
    Draining,
    /// What still runs has had its time.
    Closing,
}

impl<H: Handler> Server<H> {
    /// Binds to `host:port`. Connections queue from then on, and are accepted by [`serve`](Self::serve).
    ///
    /// # Errors
    /// The system's.
    pub async fn bind(address: &str, handler: H, config: ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (phase, _) = watch::channel(Phase::Serving);
        let shared = Serving { handler: Arc::new(handler), config, connections: AtomicUsize::new(0), phase };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts connections until `signal` completes, then shuts down: nothing new is begun (a new stream
    /// gets an Rst of code 12903), what runs may end within [`ServerConfig::exit_wait`], and what is left
    /// then is canceled, here and at the clients, with 12013. Returns as soon as nothing is left.
    pub async fn serve_until(self, signal: impl Future<Output = ()>) {
        let shared = self.shared.clone();
        tokio::select! {
            () = self.serve() => {}
            () = signal => shared.shut_down().await,
        }
    }

    /// Accepts connections until the future is dropped; connections that are open go on.
    pub async fn serve(self) {
        let mut pause = MIN_PAUSE;
        loop {
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    pause = MIN_PAUSE;
                    self.shared.clone().admit(socket, peer);
                }
                Err(error) => {
                    // Out of descriptors, most likely: an accept that fails must not end the server.
                    warn!(%error, "accept failed; trying again");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(MAX_PAUSE);
                }
            }
        }
    }
}

const FLUSH: Duration = Duration::from_secs(1);
const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Counts a connection as long as it is open.
struct Admitted<H>(Arc<Serving<H>>);

impl<H> Drop for Admitted<H> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<H: Handler> Admitted<H> {
    async fn serve(self, socket: impl FnOnce() -> io::Result<TcpStream>, peer: SocketAddr) {
        let served = async { self.0.clone().serve_connection(socket()?, peer).await };
        if let Err(error) = served.await {
            debug!(%peer, %error, "connection ended");
        }
    }
}

impl<H: Handler> Serving<H> {
    fn admit(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let admitted = Admitted(self.clone());
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.config.max_connections {
            warn!(%peer, limit = self.config.max_connections, "too many connections: closing the newest");
            return;
        }
        match &self.config.cores {
            None => tokio::spawn(admitted.serve(|| Ok(socket), peer)),
            Some(cores) => {
                // Its events are to come to the thread that serves it.
                let socket = socket.into_std();
                cores.spawn(admitted.serve(|| TcpStream::from_std(socket?), peer))
            }
        };
    }

    async fn serve_connection(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let io = Io::tcp(socket)?;
        let mut buf = BytesMut::new();
        let mut phase = self.phase.subscribe();
        let preface = tokio::time::timeout(self.config.preface_timeout, read_preface(&io, &mut buf));
        let preface = tokio::select! {
            biased;
            preface = preface => preface.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
            // Who has said nothing until then has nothing to lose.
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => return Ok(()),
        };
        match detect(preface) {
            Protocol::Streams => self.serve_streams(io, buf).await,
            Protocol::TtheaderPingPong => {
                serve_calls(&self, io, peer, buf, CallProtocol::Ttheader).await?;
            }
            Protocol::FramedPingPong => serve_calls(&self, io, peer, buf, CallProtocol::Framed).await?,
            protocol => warn!(%peer, "{}", protocol.complaint()),
        }
        Ok(())
    }

    async fn serve_streams(self: Arc<Self>, io: Io, buf: BytesMut) {
        let link = start(Side::Server, io, self.config.connection.clone(), self.config.idle_timeout);
        let (serving, opener) = (self.clone(), link.clone());
        let reading = read_loop(link.clone(), buf, move |key| {
            tokio::spawn(serve_stream(serving.clone(), opener.clone(), key));
        });
        let mut phase = self.phase.subscribe();
        let leaving = async {
            let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
            link.drain();
            let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
            link.end_all(&self.config.service);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            // Before the reader: what is opened from then on is refused.
            () = leaving => {}
            () = reading => {}
        }
    }

    async fn shut_down(&self) {
        self.phase.send_replace(Phase::Draining);
        if tokio::time::timeout(self.config.exit_wait, self.phase.closed()).await.is_err() {
            self.phase.send_replace(Phase::Closing);
            // Time for what is queued to be written, no longer.
            let _ = tokio::time::timeout(FLUSH, self.phase.closed()).await;
        }
    }
}

async fn read_preface(io: &Io, buf: &mut BytesMut) -> io::Result<[u8; PREFACE_LEN]> {
    buf.reserve(1024);
    loop {
        if let Some(preface) = buf.first_chunk() {
            return Ok(*preface);
        }
        poll_fn(|cx| io.poll_read_ready(cx)).await?;
        match io.try_read_buf(buf) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
