//! Streams and calls whose connection a server has closed before it has read everything: they are opened again if the server
//! cannot have read the opening, and only then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kitex::client::{SharedInstances, Transport};
use kitex::stream_core::UNREAD_FOR;
use kitex::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fixture::{EchoClient, Handlers, Peer, builder, ended, large, resp, soon};

/// What a server reads of a stream or call before it closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Nothing,
    /// The frame that opens the stream, or the whole call, but for its last byte.
    AllButOneByte,
    /// That frame: its handler begins.
    Opening,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Opens a stream and sends nothing.
    Opens,
    /// Opens a stream and sends a message that is not read.
    Sends,
    /// A ping-pong call; by gRPC a stream with one message.
    Calls,
}

const BOTH: [Transport; 2] = [Transport::TtHeader, Transport::Grpc];
const HEADER: usize = 9;
const HEADERS: u8 = 1;
/// The size of messages.
const SIZE: usize = 10_000;

/// A server that closes each connection when it has read so much of the first stream or call, and at least some further bytes
/// have arrived.
pub(crate) struct Doomed {
    /// First its address alone, so that the first stream or call goes there however long the dial takes; then another too.
    pub(crate) instances: SharedInstances,
    address: String,
    /// The number of handlers that have begun there.
    begun: Arc<AtomicUsize>,
    dialed: watch::Receiver<usize>,
    /// It reads once this is set.
    reads: watch::Sender<bool>,
}

impl Doomed {
    /// Waits for its first connection. Then a retry goes to the instance at `address`, if there is one.
    pub(crate) async fn fail(&mut self, address: Option<&str>) {
        soon(self.dialed.wait_for(|dialed| *dialed > 0)).await.unwrap();
        self.instances.set([&*self.address].into_iter().chain(address));
        self.reads.send_replace(true);
    }
}

pub(crate) async fn doomed(reads: Reads, unread: usize, transport: Transport) -> Doomed {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let instances = SharedInstances::default();
    instances.set([&*address]);
    let begun = Arc::<AtomicUsize>::default();
    let runs = begun.clone();
    let (accepted, dialed) = watch::channel(0);
    let (allow, mut allowed) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            accepted.send_modify(|accepted| *accepted += 1);
            let _ = allowed.wait_for(|allowed| *allowed).await;
            let opening = match transport {
                Transport::Grpc => next_headers(&mut socket).await,
                _ => first_frame(&socket).await,
            };
            let taken = match reads {
                Reads::Nothing => 0,
                Reads::AllButOneByte => opening - 1,
                Reads::Opening => opening,
            };
            socket.read_exact(&mut vec![0; taken]).await.unwrap();
            if reads == Reads::Opening {
                runs.fetch_add(1, SeqCst);
            }
            has_arrived(&socket, opening - taken + unread).await;
        }
    });
    Doomed { instances, address, begun, dialed, reads: allow }
}

/// Waits until that many bytes wait to be read.
async fn has_arrived(socket: &TcpStream, bytes: usize) {
    let mut buf = vec![0; bytes];
    while bytes > 0 && socket.peek(&mut buf).await.unwrap() < bytes {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the size of the first TTHeader frame.
async fn first_frame(socket: &TcpStream) -> usize {
    has_arrived(socket, 4).await;
    let mut len = [0; 4];
    socket.peek(&mut len).await.unwrap();
    4 + usize::try_from(u32::from_be_bytes(len)).unwrap()
}

/// Reads what a gRPC client sends before it opens a stream. Returns the size of the frame that opens it.
async fn next_headers(socket: &mut TcpStream) -> usize {
    // Without its settings nothing is opened.
    socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    socket.read_exact(&mut [0; 24]).await.unwrap();
    loop {
        has_arrived(socket, HEADER).await;
        let mut header = [0; HEADER];
        socket.peek(&mut header).await.unwrap();
        let [high, middle, low, kind, ..] = header;
        let frame = HEADER + usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap();
        if kind == HEADERS {
            return frame;
        }
        socket.read_exact(&mut vec![0; frame]).await.unwrap();
    }
}

fn handlers(runs: Arc<AtomicUsize>) -> Handlers {
    let calls = runs.clone();
    Handlers::default()
        .bidi(move |_, stream| {
            runs.fetch_add(1, SeqCst);
            async move { stream.send(&resp("", 0)).await }
        })
        .unary(move |_, _| {
            calls.fetch_add(1, SeqCst);
            async move { Ok(resp("", 0)) }
        })
}

async fn make(client: &EchoClient, call: Use) -> Result<()> {
    let ctx = Context::background();
    if call == Use::Calls {
        return soon(client.unary(&ctx, large(SIZE))).await.map(drop);
    }
    let mut stream = client.bidi(&ctx).await?;
    if call == Use::Sends {
        // The connection may be lost already.
        let _ = stream.send(&large(SIZE)).await;
    }
    soon(stream.recv()).await.map(drop)
}

async fn check(reads: Reads, call: Use, transport: Transport, is_again: bool) {
    // Later than that, an end proves nothing. On a slow machine it may be seen later.
    while check_once(reads, call, transport, is_again).await > UNREAD_FOR {}
}

/// Returns how long it took.
async fn check_once(reads: Reads, call: Use, transport: Transport, is_again: bool) -> Duration {
    // More than the client sends of its own.
    let unread = match call {
        Use::Opens => 0,
        Use::Calls if transport == Transport::TtHeader => 0,
        Use::Sends | Use::Calls => SIZE / 2,
    };
    let mut doomed = doomed(reads, unread, transport).await;
    let served = Arc::<AtomicUsize>::default();
    let serving = Peer::start(handlers(served.clone())).await;
    let client = builder("").addresses(doomed.instances.clone()).transport(transport);
    let client = EchoClient::new(client.build().unwrap());
    let began = Instant::now();
    let (result, ()) = tokio::join!(make(&client, call), doomed.fail(Some(&serving.address)));
    let (end, took, begun) = (ended(&result), began.elapsed(), doomed.begun.load(SeqCst));
    let what = format!("{reads:?} {call:?} {transport:?}: {end} after {took:?}");
    if took > UNREAD_FOR {
        return took;
    }
    assert_eq!((end == "ok", served.load(SeqCst)), (is_again, usize::from(is_again)), "{what}");
    assert!(begun + served.load(SeqCst) <= 1, "{what}: a handler has run twice");
    if !is_again && call != Use::Calls {
        assert_eq!(end, "12006 client", "{what}");
    }
    assert_eq!(client.as_ref().pool_stats().retries, u64::from(is_again), "{what}");
    took
}

#[tokio::test]
async fn a_stream_is_opened_again_only_if_its_server_cannot_have_read_the_opening() {
    let rows = [
        (Reads::Nothing, Use::Opens, true),
        (Reads::AllButOneByte, Use::Opens, true),
        // All was read.
        (Reads::Opening, Use::Opens, false),
        // The bytes that were not read may all be those of the message.
        (Reads::Nothing, Use::Sends, false),
        (Reads::AllButOneByte, Use::Sends, false),
        (Reads::Opening, Use::Sends, false),
    ];
    for transport in BOTH {
        for (reads, call, is_again) in rows {
            check(reads, call, transport, is_again).await;
        }
    }
}

#[tokio::test]
async fn a_call_is_made_again_only_if_its_server_cannot_have_read_it() {
    let rows = [
        (Reads::Nothing, Transport::TtHeader, true),
        (Reads::AllButOneByte, Transport::TtHeader, true),
        (Reads::Opening, Transport::TtHeader, false),
        // The header and the message are two frames.
        (Reads::Nothing, Transport::Grpc, false),
        (Reads::Opening, Transport::Grpc, false),
    ];
    for (reads, transport, is_again) in rows {
        check(reads, Use::Calls, transport, is_again).await;
    }
}
