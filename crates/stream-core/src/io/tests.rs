//! The contract that every kind of [`Io`] keeps.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::{Address, Io, ReadBuffer, write_all};

async fn tcp() -> (Io, Io) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialed = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (Io::tcp(dialed).unwrap(), Io::tcp(accepted).unwrap())
}

fn unix() -> (Io, Io) {
    let (first, second) = UnixStream::pair().unwrap();
    (Io::unix(first).unwrap(), Io::unix(second).unwrap())
}

/// One pair of each kind.
async fn pairs() -> Vec<(&'static str, (Io, Io))> {
    let memory = [("memory", Io::pair(64 * 1024)), ("memory of 1", Io::pair(1))];
    [("tcp", tcp().await), ("unix", unix())].into_iter().chain(memory).collect()
}

const LIMIT: Duration = Duration::from_secs(60);

fn bytes(len: usize) -> BytesMut {
    (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

#[tokio::test]
async fn io_backpressure_keeps_order_when_more_is_written_than_buffers_hold() {
    for (kind, (first, second)) in pairs().await {
        let expected = bytes(if kind == "memory of 1" { 1000 } else { 4 * 1024 * 1024 });
        let mut output = expected.clone();
        let write = async move { write_all(&first, &mut output, LIMIT).await.unwrap() };
        let read = async {
            let mut received = ReadBuffer::default();
            while received.fill(&second).await.unwrap() > 0 {}
            received
        };
        let ((), mut received) = tokio::join!(write, read);
        assert!(*received.bytes() == expected, "{kind}");
    }
}

#[tokio::test]
async fn io_backpressure_by_a_peer_that_reads_nothing_fails_the_write_after_the_limit() {
    for (kind, (first, _second)) in pairs().await {
        let mut output = bytes(16 * 1024 * 1024);
        let error = write_all(&first, &mut output, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}");
        assert!(!output.is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn io_shutdown_wakes_the_tasks_of_both_ends() {
    for (kind, (first, second)) in pairs().await {
        let ends = [std::sync::Arc::new(first), std::sync::Arc::new(second)];
        let waiting = ends.clone().map(|io| {
            tokio::spawn(async move {
                let mut received = ReadBuffer::default();
                received.fill(&io).await
            })
        });
        tokio::task::yield_now().await;
        ends[0].shutdown().unwrap();
        for task in waiting {
            let read = tokio::time::timeout(LIMIT, task).await.expect("it is woken").unwrap();
            assert_eq!(read.unwrap(), 0, "{kind}");
        }
        poll_fn(|cx| ends[0].poll_write_ready(cx)).await.unwrap();
        let written = ends[0].try_write_vectored(&[IoSlice::new(b"late")]);
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe, "{kind}");
    }
}

#[tokio::test]
async fn io_shutdown_delivers_what_was_written_before() {
    for (kind, (first, second)) in pairs().await {
        write_all(&first, &mut bytes(1), LIMIT).await.unwrap();
        first.shutdown().unwrap();
        let mut received = ReadBuffer::default();
        while received.fill(&second).await.unwrap() > 0 {}
        assert_eq!(received.len(), 1, "{kind}");
    }
}

#[tokio::test]
async fn io_is_quiet_until_there_is_a_byte_or_the_end() {
    for (kind, (first, second)) in pairs().await {
        assert!(second.is_quiet(), "{kind}");
        write_all(&first, &mut bytes(1), LIMIT).await.unwrap();
        let mut received = ReadBuffer::default();
        poll_fn(|cx| second.poll_read_ready(cx)).await.unwrap();
        assert!(!second.is_quiet(), "{kind}");
        received.fill(&second).await.unwrap();
        assert!(second.is_quiet(), "{kind}");
        drop(first);
        poll_fn(|cx| second.poll_read_ready(cx)).await.unwrap();
        assert!(!second.is_quiet(), "{kind}");
    }
}

/// Otherwise a second read would find nothing.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn io_is_not_ready_after_a_short_read() {
    for (kind, (first, second)) in pairs().await {
        write_all(&first, &mut bytes(1), LIMIT).await.unwrap();
        ReadBuffer::default().fill(&second).await.unwrap();
        let ready = poll_fn(|cx| Poll::Ready(second.poll_read_ready(cx).is_ready())).await;
        assert!(!ready, "{kind}");
    }
}

/// The readiness that a short read clears is set again by the next bytes.
#[tokio::test]
async fn io_wakes_the_reader_for_each_of_many_short_writes() {
    for (kind, (first, second)) in pairs().await {
        let reading = tokio::spawn(async move {
            let mut received = ReadBuffer::default();
            while received.fill(&second).await.unwrap() > 0 {}
            received.len()
        });
        for _ in 0..1000 {
            write_all(&first, &mut bytes(3), LIMIT).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(first);
        let read = tokio::time::timeout(LIMIT, reading).await.expect("no wake-up is lost").unwrap();
        assert_eq!(read, 3000, "{kind}");
    }
}

/// A dead peer is detected by keepalive if no data is unacknowledged, and by the user timeout if some is.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn io_tcp_sets_keepalive_and_the_user_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let socket = SockRef::from(&stream).try_clone().unwrap();
    let _io = Io::tcp(stream).unwrap();
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(10));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(20)));
}

#[tokio::test]
async fn io_addresses_of_two_ends_match() {
    for (kind, (first, second)) in pairs().await {
        assert_eq!(first.local_addr(), second.peer_addr(), "{kind}");
        assert_eq!(first.peer_addr(), second.local_addr(), "{kind}");
    }
    let (first, second) = Io::pair(1);
    assert_ne!(first.local_addr(), second.local_addr());
}

#[test]
fn an_address_is_displayed_with_its_kind() {
    let path = std::path::Path::new("/run/service.sock");
    let rows = [
        (Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 80))), "127.0.0.1:80"),
        (Address::Unix(Some(path.into())), "unix:/run/service.sock"),
        (Address::Unix(None), "unix:unnamed"),
        (Address::Memory(7), "memory:7"),
    ];
    for (address, text) in rows {
        assert_eq!(address.to_string(), text);
    }
}
