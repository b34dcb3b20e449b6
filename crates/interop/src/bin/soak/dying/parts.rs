//! The parts that die: servers with their runtimes, sources of addresses, clients that all workers share.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use interop::dial::Failure;
use interop::lab::LabClient;
use interop::local::TRANSPORT;
use interop::server::{Lines, builder};
use kitex::Client;
use kitex::client::{Discover, InstanceSet, PoolKind, Transport};
use tokio::runtime::{Builder, Runtime};

use super::ledger::{Clerk, Ledger};

/// Random numbers, the same for a seed.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0) % end.max(1)
    }

    pub(crate) fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap_or_default()]
    }
}

fn mixed(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ledger: Arc<Ledger>,
    addresses: Arc<Addresses>,
    pub(crate) clients: Vec<LabClient>,
}

impl World {
    pub(crate) fn new(ledger: Arc<Ledger>, seed: u64) -> Result<Self, Failure> {
        let addresses = Arc::new(Addresses::new(ledger.clone(), seed)?);
        let client = |pool, transport| {
            let source = Source(addresses.clone());
            let client = Client::builder("ServiceB").caller("ServiceA").addresses(source).pool(pool);
            let client = client.transport(transport).observer(Clerk(ledger.clone()));
            Ok::<_, Failure>(LabClient::new(client.connect_timeout(Duration::from_millis(300)).build()?))
        };
        let pools = [PoolKind::Mux(1), PoolKind::Mux(3), PoolKind::long(), PoolKind::Short];
        let mut clients: Vec<LabClient> =
            pools.iter().map(|pool| client(*pool, Transport::TtHeader)).collect::<Result<_, _>>()?;
        clients.push(client(PoolKind::Mux(2), Transport::Grpc)?);
        Ok(Self { ledger, addresses, clients })
    }
}

/// Where servers are now, and some addresses at which none is.
#[derive(Debug)]
struct Addresses {
    ledger: Arc<Ledger>,
    known: Mutex<Vec<String>>,
    /// Connects, and says nothing.
    mute: TcpListener,
    asked: AtomicU64,
    seed: u64,
}

impl Addresses {
    fn new(ledger: Arc<Ledger>, seed: u64) -> Result<Self, Failure> {
        let mute = TcpListener::bind("127.0.0.1:0")?;
        mute.set_nonblocking(true)?;
        Ok(Self { ledger, known: Mutex::default(), mute, asked: AtomicU64::new(0), seed })
    }

    /// A server has come. The addresses of the last that were there stay for a while, as in a registry.
    fn add(&self, address: SocketAddr) {
        let mut known = self.known.lock().expect("no code panics under it");
        known.push(address.to_string());
        let old = known.len().saturating_sub(4);
        known.drain(..old);
    }

    /// Closes the connections of those who were sent to the mute address.
    fn close_mute(&self) {
        while self.mute.accept().is_ok() {}
    }
}

/// A source of addresses that panics, or names one at which nothing is, now and then.
#[derive(Debug)]
struct Source(Arc<Addresses>);

impl Discover for Source {
    fn poll_instances(&self, _: &mut Context<'_>, _: Option<u64>) -> Poll<InstanceSet> {
        let asked = self.0.asked.fetch_add(1, Ordering::SeqCst);
        let known = self.0.known.lock().expect("no code panics under it").clone();
        // The first are the looks of `build`.
        let addresses = match mixed(self.0.seed ^ asked) % 40 {
            0 if asked > 10 => {
                self.0.ledger.death("dial: source");
                panic!("the registry is gone")
            }
            1 => {
                self.0.ledger.death("dial: mute");
                self.0.mute.local_addr().map(|address| vec![address.to_string()]).unwrap_or_default()
            }
            2 => {
                self.0.ledger.death("dial: refused");
                vec!["127.0.0.1:1".to_owned()]
            }
            _ if known.is_empty() => vec!["127.0.0.1:1".to_owned()],
            _ => known,
        };
        Poll::Ready(InstanceSet::new(asked, addresses))
    }
}

/// A runtime of one thread or more.
pub(crate) fn runtime(random: &mut Random) -> Result<Runtime, Failure> {
    let mut builder = match random.below(2) {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(2).enable_all().build()?)
}

/// One server's life.
pub(crate) fn serve(world: &World, random: &mut Random) -> Result<(), Failure> {
    let runtime = runtime(random)?;
    let life = Duration::from_millis(50) + random.millis(800);
    let wait = random.millis(200);
    let server = runtime.block_on(async {
        let server = builder("ServiceB", None, Lines::Silent, &TRANSPORT);
        server.observer(Clerk(world.ledger.clone())).exit_wait(wait).bind("127.0.0.1:0").await
    })?;
    world.addresses.add(server.local_addr());
    match random.below(3) {
        0 => {
            runtime.block_on(async { server.serve_until(tokio::time::sleep(life)).await });
            world.ledger.death("server: shut down");
        }
        1 => {
            // Connections go on for a while.
            let _ = runtime.block_on(async { tokio::time::timeout(life, server.serve()).await });
            runtime.block_on(async { tokio::time::sleep(wait).await });
            world.ledger.death("server: dropped");
        }
        _ => {
            runtime.spawn(server.serve());
            runtime.block_on(async { tokio::time::sleep(life).await });
            world.ledger.death("server: runtime");
        }
    }
    runtime.shutdown_background();
    world.addresses.close_mute();
    thread::sleep(random.millis(100));
    Ok(())
}
