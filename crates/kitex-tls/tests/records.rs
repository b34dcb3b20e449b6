//! Both ends of a connection in memory: records and writes below, partial writes and reads, the end of a connection.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use kitex_tls::{ClientTls, Identity, Roots, ServerTls};
use stream_core::BoxFuture;
use stream_core::accept::Acceptor;
use stream_core::client::Connector;
use stream_core::io::{ByteStream, Io, ReadBuffer, write_all};

const LONG: Duration = Duration::from_secs(60);

/// What passed through a byte stream: calls that wrote something, and the bytes.
#[derive(Debug, Default)]
struct Counts {
    writes: AtomicUsize,
    written: Mutex<Vec<u8>>,
}

impl Counts {
    fn reset(&self) {
        self.writes.store(0, Ordering::Relaxed);
        self.written.lock().unwrap().clear();
    }

    /// The types of the records that were written. A record has a header of five bytes: type, version, length.
    fn records(&self) -> Vec<u8> {
        let written = self.written.lock().unwrap();
        let (mut rest, mut types) = (&written[..], Vec::new());
        while let [kind, _, _, high, low, ..] = *rest {
            types.push(kind);
            rest = &rest[5 + usize::from(u16::from_be_bytes([high, low]))..];
        }
        assert!(rest.is_empty(), "half a record was written");
        types
    }
}

/// A byte stream that counts what is written to it.
#[derive(Debug)]
struct Counting(Io, Arc<Counts>);

impl ByteStream for Counting {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        self.0.try_read_buf(buf)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = self.0.try_write_vectored(slices)?;
        self.1.writes.fetch_add(1, Ordering::Relaxed);
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(count);
        self.1.written.lock().unwrap().extend(bytes);
        Ok(count)
    }

    fn shutdown(&self) -> io::Result<()> {
        self.0.shutdown()
    }

    fn is_quiet(&self) -> bool {
        self.0.is_quiet()
    }
}

/// "Connects" to a stream that exists.
#[derive(Debug)]
struct Ready(Mutex<Option<Io>>);

impl Connector for Ready {
    fn connect<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, io::Result<Io>> {
        let io = self.0.lock().unwrap().take();
        Box::pin(async { io.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}

/// Both ends after their handshake, on a stream that holds `capacity` bytes in each direction; and what the client writes below.
async fn connected(capacity: usize) -> (Io, Io, Arc<Counts>) {
    let (client, server) = configured();
    let (near, far) = Io::pair(capacity);
    let counts = Arc::new(Counts::default());
    let (local, peer) = (near.local_addr().clone(), near.peer_addr().clone());
    let near = Io::layered(Counting(near, counts.clone()), local, peer);
    let connector = client.connector(Arc::new(Ready(Mutex::new(Some(near)))), &[]);
    let (near, far) = tokio::join!(connector.connect("model:1", LONG), server.accept(far));
    counts.reset();
    (near.unwrap(), far.unwrap().io, counts)
}

fn configured() -> (ClientTls, ServerTls) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["model".to_owned()]).unwrap();
    let identity = Identity::from_pem(cert.pem(), signing_key.serialize_pem()).unwrap();
    let server = ServerTls::builder(identity).build().unwrap();
    (ClientTls::builder(Roots::from_pem(cert.pem()).unwrap()).build().unwrap(), server)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Reads until `len` bytes have come, or the stream has ended.
async fn read(io: &Io, len: usize) -> io::Result<Vec<u8>> {
    let (mut buffer, mut read) = (ReadBuffer::default(), Vec::new());
    while read.len() < len {
        let more = tokio::time::timeout(LONG, buffer.fill(io)).await.expect("bytes never came")?;
        if more == 0 {
            break;
        }
        read.extend_from_slice(&buffer.bytes().split());
        buffer.shrink();
    }
    Ok(read)
}

#[tokio::test]
async fn batch_of_frames_becomes_few_records_and_one_write() {
    let (near, far, counts) = connected(1 << 20).await;
    // The number of frames, their size, and the records and writes below.
    let rows = [
        (1, 10, 1, 1),
        (64, 100, 1, 1),
        (64, 256, 1, 1),
        (64, 257, 2, 1),
        (64, 1024, 4, 1),
        (64, 4096, 16, 4),
    ];
    for (frames, len, records, writes) in rows {
        counts.reset();
        let frame = bytes(len);
        let slices: Vec<IoSlice<'_>> = (0..frames).map(|_| IoSlice::new(&frame)).collect();
        assert_eq!(near.try_write_vectored(&slices).unwrap(), frames * len);
        assert_eq!(counts.records(), vec![23; records], "{frames} frames of {len} bytes: application data");
        assert_eq!(counts.writes.load(Ordering::Relaxed), writes, "{frames} frames of {len} bytes");
        assert_eq!(read(&far, frames * len).await.unwrap(), frame.repeat(frames));
    }
}

#[tokio::test]
async fn bytes_arrive_whole_in_both_directions_however_the_stream_below_cuts_them() {
    for capacity in [1, 7, 100, 5_000, 16_406, 70_000, 1 << 20] {
        let (near, far, _) = connected(capacity).await;
        let len = if capacity < 100 { 40_000 } else { 400_000 };
        let sent = bytes(len);
        let write = async |io: &Io| {
            let mut rest = BytesMut::from(&sent[..]);
            write_all(io, &mut rest, LONG).await.unwrap();
        };
        let ((), (), there, back) =
            tokio::join!(write(&near), write(&far), read(&far, len), read(&near, len));
        assert!(there.unwrap() == sent && back.unwrap() == sent, "capacity {capacity}");
    }
}

/// The writer is not called again after its last byte was accepted.
#[tokio::test]
async fn accepted_bytes_wait_for_no_other_call() {
    let (near, far, _) = connected(1_000).await;
    let (sent, mut offset) = (bytes(30_000), 0);
    let mut received = Vec::new();
    while offset < sent.len() {
        match near.try_write_vectored(&[IoSlice::new(&sent[offset..])]) {
            Ok(accepted) => offset += accepted,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                assert!(near.committed() > 0, "encrypted and not accepted");
                // Room for more below.
                let mut buf = BytesMut::with_capacity(100);
                match far.try_read_buf(&mut buf) {
                    Ok(_) => received.extend_from_slice(&buf),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
        }
    }
    assert_eq!(near.committed(), 0);
    let rest = read(&far, sent.len() - received.len()).await.unwrap();
    received.extend_from_slice(&rest);
    assert!(received == sent);
}

#[tokio::test]
async fn end_with_close_notify_is_an_end_and_one_without_is_an_error() {
    let (near, far, _) = connected(1 << 16).await;
    write_all(&near, &mut BytesMut::from("last"), LONG).await.unwrap();
    near.shutdown().unwrap();
    assert_eq!(read(&far, 100).await.unwrap(), b"last");
    assert!(matches!(read(&far, 1).await, Ok(end) if end.is_empty()), "again");
    assert!(near.try_write_vectored(&[IoSlice::new(b"more")]).is_err());

    let (near, far, _) = connected(1 << 16).await;
    write_all(&near, &mut BytesMut::from("dropped"), LONG).await.unwrap();
    drop(near);
    assert_eq!(read(&far, 100).await.unwrap(), b"dropped");
}

#[tokio::test]
async fn is_quiet_until_there_is_something_to_read() {
    let (near, far, _) = connected(1 << 16).await;
    assert!(near.is_quiet() && far.is_quiet());
    write_all(&near, &mut BytesMut::from("some"), LONG).await.unwrap();
    assert!(!far.is_quiet() && !far.is_quiet() && near.is_quiet());
    assert_eq!(read(&far, 4).await.unwrap(), b"some");
    assert!(far.is_quiet());
    drop(near);
    assert!(!far.is_quiet());
}

type Change = fn(&mut Vec<u8>);

/// A peer that is cut off, and one that changes a byte.
#[tokio::test]
async fn records_that_are_cut_or_changed_are_errors() {
    let rows: [(&str, Change, &str); 3] = [
        ("cut between records", |_| {}, "without close_notify"),
        ("cut inside of a record", |record| record.truncate(10), "without close_notify"),
        ("changed", |record| record[7] ^= 1, "TLS: "),
    ];
    for (what, change, words) in rows {
        let (near, tap) = Io::pair(1 << 16);
        let (tapped, far) = Io::pair(1 << 16);
        let (client, server) = configured();
        let connector = client.connector(Arc::new(Ready(Mutex::new(Some(near)))), &[]);
        // Passes the handshake on unchanged.
        let passing = async {
            tokio::join!(pass(&tap, &tapped), pass(&tapped, &tap));
        };
        let (near, far) = tokio::select! {
            ends = async { tokio::join!(connector.connect("model:1", LONG), server.accept(far)) } => ends,
            () = passing => unreachable!("neither end closes"),
        };
        let (near, far) = (near.unwrap(), far.unwrap().io);
        write_all(&near, &mut BytesMut::from("a message"), LONG).await.unwrap();
        let mut record = read(&tap, 1).await.unwrap();
        change(&mut record);
        write_all(&tapped, &mut BytesMut::from(&record[..]), LONG).await.unwrap();
        tapped.shutdown().unwrap();
        let error = match read(&far, 100).await {
            Err(error) => error,
            Ok(read) => {
                assert_eq!((read.as_slice(), what), (&b"a message"[..], "cut between records"));
                panic!("{what}: a clean end")
            }
        };
        assert!(error.to_string().contains(words), "{what}: {error}");
    }
}

async fn pass(from: &Io, to: &Io) {
    while let Ok(bytes) = read(from, 1).await {
        if bytes.is_empty() || write_all(to, &mut BytesMut::from(&bytes[..]), LONG).await.is_err() {
            return;
        }
    }
}
