//! A proxy before etcd that can cut its connections, and hold new ones until it lets them go on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    address: String,
    /// Connections whose requests begin with this wait.
    held: watch::Sender<Option<&'static str>>,
    /// A connection ends when this has changed since it was made.
    cuts: watch::Sender<usize>,
    waiting: watch::Receiver<usize>,
    compacted: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Shared {
    etcd: String,
    held: watch::Receiver<Option<&'static str>>,
    cuts: watch::Receiver<usize>,
    waiting: watch::Sender<usize>,
    compacted: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) async fn start(etcd: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (held, is_held) = watch::channel(None);
        let (cuts, is_cut) = watch::channel(0);
        let (wait, waiting) = watch::channel(0);
        let compacted = Arc::default();
        let shared =
            Shared { etcd, held: is_held, cuts: is_cut, waiting: wait, compacted: Arc::clone(&compacted) };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(shared.clone().pass(socket));
            }
        });
        Self { address, held, cuts, waiting, compacted }
    }

    pub(crate) fn endpoint(&self) -> String {
        self.address.clone()
    }

    /// Holds new requests that begin with `start`, and ends all connections. Returns once one waits.
    pub(crate) async fn cut_and_hold(&mut self, start: &'static str) {
        self.waiting.mark_unchanged();
        self.held.send_replace(Some(start));
        self.cuts.send_modify(|cuts| *cuts += 1);
        self.waiting.changed().await.unwrap();
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(None);
    }

    /// Returns how many watches etcd has canceled because their revision was compacted.
    pub(crate) fn compacted(&self) -> usize {
        self.compacted.load(Ordering::SeqCst)
    }
}

impl Shared {
    async fn pass(mut self, mut client: TcpStream) -> io::Result<()> {
        let mut cuts = self.cuts.clone();
        cuts.mark_unchanged();
        let mut request = vec![0; 4096];
        let len = client.read(&mut request).await?;
        let request = &request[..len];
        let is_of = |start: &Option<&str>| start.is_some_and(|start| request.starts_with(start.as_bytes()));
        if is_of(&self.held.borrow()) {
            self.waiting.send_modify(|waiting| *waiting += 1);
        }
        let _ = self.held.wait_for(|held| !is_of(held)).await;
        let mut etcd = TcpStream::connect(&self.etcd).await?;
        etcd.write_all(request).await?;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_etcd, mut to_etcd) = etcd.split();
        let responses = async {
            let mut chunk = vec![0; 4096];
            loop {
                let len = from_etcd.read(&mut chunk).await?;
                if len == 0 {
                    return io::Result::Ok(());
                }
                if String::from_utf8_lossy(&chunk[..len]).contains("compact_revision") {
                    self.compacted.fetch_add(1, Ordering::SeqCst);
                }
                to_client.write_all(&chunk[..len]).await?;
            }
        };
        tokio::select! {
            ended = responses => ended,
            ended = tokio::io::copy(&mut from_client, &mut to_etcd) => ended.map(drop),
            _ = cuts.changed() => Ok(()),
        }
    }
}
