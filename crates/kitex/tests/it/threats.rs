//! Rows of `docs/reliability.md` that have no other test through the public builders: floods of frames, replies that are
//! not read, headers and small messages that add up, a peer that reads nothing, a listener that fails.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use kitex::bytes::BytesMut;
use kitex::client::{Retry, StaticAddresses, Transport};
use kitex::server::{ConnectionConfig, Listener, ServerBuilder, SocketConfig};
use kitex::stream_core::BoxFuture;
use kitex::stream_core::server::Incoming;
use kitex::{Address, Context, Server};
use tokio::net::TcpListener;
use ttheader_codec::FrameType::{Data, Header, Meta, Rst, Trailer};
use ttheader_codec::{Head, encode_header, key};

use crate::fixture::echo::EchoServer;
use crate::fixture::{
    EchoClient, Handlers, Peer, Wire, answer, brief, builder, count_to_error, ended, frame_of, large,
    odd_frame, reports, req, resp, soon,
};

const MB: usize = 1024 * 1024;
const NEVER: Duration = Duration::from_secs(3600);
const STRINGS: [(&[u8], &[u8]); 1] = [(key::IDL_SERVICE, b"Echo")];

/// Opens an echoing stream, and checks that it is served.
async fn open(wire: &mut Wire, id: i32) {
    wire.frame_of(id, "Bidi", Header, &STRINGS, b"").await;
    echo(wire, id).await;
}

async fn echo(wire: &mut Wire, id: i32) {
    wire.message(id, &req("", 0)).await;
    while wire.next_of(Data).await.id != id {}
}

/// A kind of frames that costs a connection, once there are too many in a time.
struct Flood {
    name: &'static str,
    server: fn(ServerBuilder) -> ServerBuilder,
    frames: fn(i32) -> BytesMut,
    survives: i32,
}

fn oversize(id: i32) -> BytesMut {
    let mut out = BytesMut::new();
    let strings = vec![(&b"k"[..], &b"v"[..]); 1025];
    encode_header(&mut out, Head::streaming(id), strings, [], 0).unwrap();
    out
}

/// A stream, and a frame of an unknown type that makes the server reset it.
fn made_to_reset(id: i32) -> BytesMut {
    let mut out = frame_of(id, "Bidi", Header, &STRINGS, b"");
    out.unsplit(odd_frame(id, Some(b"9"), b""));
    out
}

const FLOODS: &[Flood] = &[
    Flood {
        name: "headers of stream 0",
        server: |server| server,
        frames: |_| frame_of(0, "Bidi", Header, &STRINGS, b""),
        survives: 100,
    },
    Flood {
        name: "meta frames of stream 0",
        server: |server| server,
        frames: |_| frame_of(0, "Bidi", Meta, &[], &[7; 100]),
        survives: 100,
    },
    Flood { name: "frames over a limit", server: |server| server, frames: oversize, survives: 1024 },
    Flood {
        name: "streams that the server is made to reset",
        server: |server| server,
        frames: made_to_reset,
        survives: 1024,
    },
    Flood {
        name: "streams beyond max_concurrent_streams",
        server: |server| server.max_concurrent_streams(1),
        frames: |id| frame_of(id, "Bidi", Header, &STRINGS, b""),
        survives: 4096,
    },
    Flood {
        name: "data of streams that do not exist",
        server: |server| server,
        frames: |_| frame_of(9_999, "Bidi", Data, &[], &vec![7; MB - 100]),
        survives: 64,
    },
];

#[tokio::test]
async fn floods_of_violations_close_their_own_connection_only() {
    for flood in FLOODS {
        let name = flood.name;
        let peer = Peer::with(Handlers::default(), flood.server).await;
        let (mut hostile, mut other) = (Wire::dial(&peer.address).await, Wire::dial(&peer.address).await);
        open(&mut hostile, 1).await;
        open(&mut other, 1).await;
        for at in 0..flood.survives {
            hostile.bytes(&(flood.frames)(10 + at)).await;
        }
        echo(&mut hostile, 1).await;
        // On a slow machine they belong to the next window of time.
        for at in 0..3 * flood.survives {
            hostile.bytes(&(flood.frames)(100_000 + at)).await;
        }
        assert!(hostile.is_closed_by_peer().await, "{name}");
        echo(&mut other, 1).await;
        println!("{name}: closed");
    }
}

/// Opens streams of methods that do not exist, and reads none of the answers, each of which repeats the method's name.
#[tokio::test]
async fn trailers_that_a_client_does_not_read_stop_the_reading_of_its_requests() {
    const ANSWERS: usize = 20_000;
    let socket = SocketConfig::default().write_timeout(NEVER);
    let peer = Peer::with(Handlers::default(), |server| server.socket(socket)).await;
    let mut hostile = Wire::dial(&peer.address).await;
    let name = "x".repeat(8_000);
    let mut sent = 0;
    for at in 0..ANSWERS {
        let frame = frame_of(i32::try_from(at + 1).unwrap(), &name, Header, &STRINGS, b"");
        if !hostile.bytes_within(&frame, Duration::from_secs(2)).await {
            break;
        }
        sent += frame.len();
    }
    // 4 MiB are queued, and the sockets hold some megabytes in each direction; without a bound all 160 MB are read.
    assert!(sent < 64 * MB, "{sent} bytes were read");
    let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
    bidi.send(&req("", 3)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(3));
}

#[tokio::test]
async fn headers_of_running_handlers_are_bounded_by_the_receive_window() {
    let mut config = ConnectionConfig::default();
    config.receive_window = 2 * MB;
    let peer = Peer::with(Handlers::default(), |server| server.connection(config)).await;
    let mut wire = Wire::dial(&peer.address).await;
    let pairs = [(key::IDL_SERVICE, &b"Echo"[..]), (b"a", &[7; 50_000][..]), (b"b", &[7; 50_000][..])];
    for id in 1..=30 {
        wire.frame_of(id, "Bidi", Header, &pairs, b"").await;
    }
    for id in 1..=30 {
        wire.message(id, &req("", 0)).await;
    }
    let (mut served, mut refused) = (0, 0);
    while served + refused < 30 {
        let seen = wire.next().await.expect("the connection stays open");
        match seen.kind {
            Some(Data) => served += 1,
            Some(Rst) => {
                assert_eq!(seen.error().0, 12900);
                refused += 1;
            }
            _ => {}
        }
    }
    assert!((9..=10).contains(&served), "{served} headers of 100 kB in half of 2 MiB");
    // A handler that has returned makes room.
    wire.frame_of(1, "Bidi", Trailer, &[], b"").await;
    wire.next_of(Trailer).await;
    wire.frame_of(31, "Bidi", Header, &pairs, b"").await;
    echo(&mut wire, 31).await;
}

/// Each message is charged 256 bytes, however small it is.
#[tokio::test]
async fn messages_without_content_fill_the_stream_receive_window() {
    const ROOM: usize = 100;
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().down(move |_, _, stream| {
        let reporter = reporter.clone();
        async move {
            loop {
                let sent = stream.send(&resp("", 0)).await;
                sent.inspect_err(|error| reporter.send(brief(error)))?;
            }
        }
    });
    let peer = Peer::start(handlers).await;
    let mut config = ConnectionConfig::default();
    config.stream_receive_window = ROOM * 256;
    let client = peer.client_with(|client| client.connection(config));
    let ctx = Context::background();
    // So that the connection is shared, and the short time for slow consumers applies.
    let _other = client.bidi(&ctx).await.unwrap();
    let mut slow = client.down(&ctx, req("", 0)).await.unwrap();
    assert_eq!(reported.next().await, "12901 server ServiceA");
    let (count, error) = count_to_error(&mut slow).await;
    assert_eq!(brief(&error), "12901 client");
    assert_eq!(count, ROOM);
}

/// Three handlers on two connections, by each transport; the fourth is refused until one has returned.
#[tokio::test]
async fn max_handlers_bounds_the_handlers_of_all_connections() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        let peer = Peer::with(Handlers::default(), |server| server.max_handlers(3)).await;
        let client = || peer.client_with(|client| client.transport(transport).retry(Retry::none()));
        let (one, two) = (client(), client());
        let mut streams = Vec::new();
        for client in [&one, &one, &two] {
            streams.push(client.bidi(&Context::background()).await.unwrap());
        }
        for stream in &mut streams {
            stream.send(&req("", 1)).await.unwrap();
            assert_eq!(soon(stream.recv()).await.unwrap().unwrap().seq, Some(1));
        }
        for client in [&one, &two] {
            let mut more = client.bidi(&Context::background()).await.unwrap();
            assert_eq!(ended(&soon(more.recv()).await), "12900 client", "{transport:?}");
        }
        // Its end is known here once its handler has returned.
        let first = &mut streams[0];
        first.close_send();
        assert_eq!(soon(first.recv()).await.unwrap(), None);
        let mut next = two.bidi(&Context::background()).await.unwrap();
        next.send(&req("", 2)).await.unwrap();
        assert_eq!(soon(next.recv()).await.unwrap().unwrap().seq, Some(2), "{transport:?}");
    }
}

/// With another server, a refused stream is opened there.
#[tokio::test]
async fn streams_beyond_max_handlers_move_on_to_another_server() {
    let full = Peer::with(Handlers::default(), |server| server.max_handlers(0)).await;
    let free = Peer::start(Handlers::default()).await;
    let client = builder("").addresses(StaticAddresses::new([full.address.clone(), free.address.clone()]));
    let client = EchoClient::new(client.build().unwrap());
    for seq in 0..10 {
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        bidi.send(&req("", seq)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
}

/// The peer reads nothing, and everything that may wait to be written is full.
#[tokio::test]
async fn cancel_ends_a_stream_whose_peer_reads_nothing_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let socket = SocketConfig::default().write_timeout(NEVER);
    let client = EchoClient::new(builder(&address).socket(socket).build().unwrap());
    let (ctx, canceler) = Context::background().with_cancel();
    let up = client.up(&ctx).await.unwrap();
    let _silent = Wire::accept(&listener).await;
    while let Ok(sent) = tokio::time::timeout(Duration::from_secs(1), up.send(&large(100_000))).await {
        sent.unwrap();
    }
    let blocked = tokio::spawn(async move {
        let end = ended(&up.send(&large(100_000)).await);
        (end, Instant::now())
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!blocked.is_finished(), "Send waits");
    let canceled = Instant::now();
    canceler.cancel();
    let (end, at) = soon(blocked).await.unwrap();
    assert_eq!(end, "12007 client");
    let took = at.duration_since(canceled);
    assert!(took < Duration::from_secs(5), "{took:?}: a cancel waits for nothing of the peer");
}

/// A listener that fails as one whose process is out of file descriptors.
#[derive(Debug)]
struct Failing {
    listener: TcpListener,
    failures: AtomicUsize,
}

const EMFILE: i32 = 24;

impl Listener for Failing {
    fn accept(&self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async {
            let left = self.failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            match left {
                Ok(_) => Err(io::Error::from_raw_os_error(EMFILE)),
                Err(_) => Listener::accept(&self.listener).await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<Address> {
        Listener::local_addr(&self.listener)
    }
}

#[tokio::test]
async fn accept_that_fails_is_tried_again_after_a_pause() {
    const FAILURES: usize = 5;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let failing = Failing { listener, failures: AtomicUsize::new(FAILURES) };
    let began = Instant::now();
    let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
    let serving = tokio::spawn(server.listen(failing).unwrap().serve());
    let client = EchoClient::new(builder(&address).connect_timeout(NEVER).build().unwrap());
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    bidi.send(&req("", 3)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(3));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(310), "{took:?}: 10 + 20 + 40 + 80 + 160 ms at least");
    serving.abort();
}

/// On one thread: a connection whose frames never end, and another that is served meanwhile.
#[tokio::test]
async fn many_small_frames_of_one_connection_starve_no_other() {
    let handlers = Handlers::default().bidi(|_, mut stream| async move {
        while let Some(req) = stream.recv().await? {
            if req.seq.is_some() {
                stream.send(&answer(req)).await?;
            }
        }
        Ok(())
    });
    let peer = Peer::start(handlers).await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stopped, count, address) = (stop.clone(), written.clone(), peer.address.clone());
    let flood = std::thread::spawn(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let mut bytes = frame_of(1, "Bidi", Header, &STRINGS, b"");
        let one = frame_of(1, "Bidi", Data, &[], b"\x00");
        (0..1000).for_each(|_| bytes.extend_from_slice(&one));
        let more = bytes.split_off(bytes.len() - 1000 * one.len());
        io::Write::write_all(&mut socket, &bytes).unwrap();
        while !stopped.load(Relaxed) {
            io::Write::write_all(&mut socket, &more).unwrap();
            count.fetch_add(1000, Relaxed);
        }
    });
    while written.load(Relaxed) < 10_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = written.load(Relaxed);
    let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
    for seq in 0..100 {
        bidi.send(&req("", seq)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    assert!(written.load(Relaxed) > before, "the flood went on meanwhile");
    stop.store(true, Relaxed);
    // The runtime has to read on, so that the last write returns.
    soon(tokio::task::spawn_blocking(move || flood.join().unwrap())).await.unwrap();
}

/// Far more connections than 1,024, which tokio asks for, or 128, which Rust's standard library does.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_wait_for_a_server_up_to_the_limit_of_the_system() {
    const CONNECTIONS: usize = 1500;
    let number = |path: &str, line: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let words = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_default();
        words.split_whitespace().next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0)
    };
    let (queue, files) =
        (number("/proc/sys/net/core/somaxconn", ""), number("/proc/self/limits", "Max open files"));
    if queue < CONNECTIONS || files < 3 * CONNECTIONS {
        return println!("not tested: the system queues {queue} connections, a process has {files} files");
    }
    // Bound, and not served yet.
    let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().to_string();
    let mut waiting = Vec::new();
    for at in 0..CONNECTIONS {
        let connected = tokio::time::timeout(Duration::from_secs(30), Wire::dial(&address)).await;
        waiting.push(connected.unwrap_or_else(|_| panic!("connection {at} is not queued")));
    }
    let serving = tokio::spawn(server.serve());
    open(waiting.last_mut().unwrap(), 1).await;
    serving.abort();
}
