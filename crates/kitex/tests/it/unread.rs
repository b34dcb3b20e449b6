//! Streams and calls whose connection a server has closed before it has read everything: they are opened again if the server
//! cannot have read the opening, and only then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kitex::client::{RoundRobin, StaticAddresses, Transport};
use kitex::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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

/// Returns the address of a server that closes each connection when it has read so much of the first stream or call, and at
/// least `unread` further bytes have arrived; and the number of handlers that have begun there.
pub(crate) async fn doomed(reads: Reads, unread: usize, transport: Transport) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let begun = Arc::<AtomicUsize>::default();
    let runs = begun.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
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
    (address, begun)
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
    // More than the client sends of its own.
    let unread = match call {
        Use::Opens => 0,
        Use::Calls if transport == Transport::TtHeader => 0,
        Use::Sends | Use::Calls => SIZE / 2,
    };
    let (doomed, begun) = doomed(reads, unread, transport).await;
    let served = Arc::<AtomicUsize>::default();
    let serving = Peer::start(handlers(served.clone())).await;
    let addresses = StaticAddresses::new([doomed.clone(), serving.address.clone()]);
    // The first stream or call goes to the first address.
    let client = builder(&doomed).addresses(addresses).balance(RoundRobin::default()).transport(transport);
    let client = EchoClient::new(client.build().unwrap());
    let end = ended(&make(&client, call).await);
    let what = format!("{reads:?} {call:?} {transport:?}: {end}");
    assert_eq!((end == "ok", served.load(SeqCst)), (is_again, usize::from(is_again)), "{what}");
    assert!(begun.load(SeqCst) + served.load(SeqCst) <= 1, "{what}: a handler has run twice");
    if !is_again && call != Use::Calls {
        assert_eq!(end, "12006 client", "{what}");
    }
    assert_eq!(client.as_ref().pool_stats().retries, u64::from(is_again), "{what}");
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
