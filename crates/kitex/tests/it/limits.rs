//! Bounds of `docs/limits.md` through the public builders, over real sockets. Each test sets a bound to a
//! value far from its default, and fails if the bound is ignored, too wide, or not there.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use kitex::bytes::BytesMut;
use kitex::client::{CallProtocol, PoolKind};
use kitex::server::{ConnectionConfig, SocketConfig};
use kitex::{ApplicationException, ClientStreamingClient, Context};
use tokio::net::TcpListener;
use ttheader_codec::FrameType::{Data, Header, Rst, Trailer};
use ttheader_codec::key;

use crate::fixture::chain::idle;
use crate::fixture::of_ttheader_alone;
use crate::fixture::{
    EchoClient, Handlers, Peer, Proxy, Req, Resp, Wire, brief, builder, count_to_error, ended, failed_send,
    fastest, flood, frame_of, large, reports, req, resp, soon, until,
};

const SHORT: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::from_secs(3600);

type Change = fn(&mut ConnectionConfig);
type SetTime = fn(&mut ConnectionConfig, Duration);

fn connection(change: impl FnOnce(&mut ConnectionConfig)) -> ConnectionConfig {
    let mut config = ConnectionConfig::default();
    change(&mut config);
    config
}

/// A listener without a server, and its address.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Opens a stream that echoes, and waits for the first echo.
async fn open(wire: &mut Wire, id: i32) {
    wire.frame_of(id, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
    echo(wire, id).await;
}

async fn echo(wire: &mut Wire, id: i32) {
    wire.message(id, &req("", 0)).await;
    assert_eq!(wire.next_of(Data).await.id, id);
}

#[tokio::test]
async fn max_connections_closes_the_newest() {
    let peer = Peer::with(Handlers::default(), |server| server.max_connections(2)).await;
    let (mut first, mut second) = (Wire::dial(&peer.address).await, Wire::dial(&peer.address).await);
    open(&mut first, 1).await;
    open(&mut second, 1).await;
    let mut third = Wire::dial(&peer.address).await;
    assert!(third.is_closed_by_peer().await);
    echo(&mut first, 1).await;
    echo(&mut second, 1).await;

    // Another connection is accepted once the server has noticed the end of one.
    drop(first);
    soon(async {
        loop {
            let mut fourth = Wire::dial(&peer.address).await;
            fourth.frame_of(1, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
            fourth.message(1, &req("", 0)).await;
            if fourth.next().await.is_some() {
                break;
            }
        }
    })
    .await;
    echo(&mut second, 1).await;
}

#[tokio::test]
async fn preface_timeout_closes_a_silent_connection() {
    let peer = Peer::with(Handlers::default(), |server| server.preface_timeout(SHORT)).await;
    for first in [&b""[..], &[0, 0, 0, 86, 0x10, 0, 0]] {
        let took = fastest(async || {
            let mut wire = Wire::dial(&peer.address).await;
            wire.bytes(first).await;
            assert!(wire.is_closed_by_peer().await);
        });
        let took = took.await;
        assert!(took < Duration::from_secs(4), "{took:?}: the default is 5 s");
    }
    let mut wire = Wire::dial(&peer.address).await;
    open(&mut wire, 1).await;
    tokio::time::sleep(2 * SHORT).await;
    echo(&mut wire, 1).await;
}

/// The first bytes of a message of each protocol, and nothing more.
#[tokio::test]
async fn slow_messages_close_a_ping_pong_connection() {
    if of_ttheader_alone("frames and messages of TTHeader") {
        return;
    }
    let peer = Peer::start(Handlers::default()).await;
    let firsts: [(&str, [u8; 8]); 3] = [
        ("TTHeader", [0, 0, 0, 86, 0x10, 0, 0, 0]),
        ("framed Thrift", [0, 0, 0, 51, 0x80, 1, 0, 1]),
        ("TTHeader Streaming", [0, 0, 0, 86, 0x10, 0, 0, 2]),
    ];
    let closed = firsts.map(|(protocol, first)| {
        let address = peer.address.clone();
        tokio::spawn(async move {
            let mut wire = Wire::dial(&address).await;
            let dialed = Instant::now();
            wire.bytes(&first).await;
            let closed = wire.is_closed_within(Duration::from_secs(120)).await;
            assert!(closed && dialed.elapsed() > Duration::from_secs(5), "{protocol}");
        })
    });
    for closed in closed {
        closed.await.unwrap();
    }
}

/// The same at a client: a response that has begun to arrive, and nothing more. The call has no deadline.
#[tokio::test]
async fn slow_responses_fail_a_ping_pong_call() {
    if of_ttheader_alone("messages of TTHeader") {
        return;
    }
    let firsts: [(CallProtocol, [u8; 8]); 2] = [
        (CallProtocol::Ttheader, [0, 0, 0, 86, 0x10, 0, 0, 0]),
        (CallProtocol::Framed, [0, 0, 0, 51, 0x80, 1, 0, 2]),
    ];
    let failed = firsts.map(|(protocol, first)| {
        tokio::spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let client = EchoClient::new(builder(&address).call_protocol(protocol).build().unwrap());
            let served = async {
                let mut wire = Wire::accept(&listener).await;
                wire.bytes(&first).await;
                wire.is_closed_within(Duration::from_secs(120)).await
            };
            let ctx = Context::background();
            let called = tokio::time::timeout(Duration::from_secs(120), client.ping(&ctx, req("", 0)));
            let (called, closed) = tokio::join!(called, served);
            assert!(called.expect("the call hangs").is_err() && closed, "{protocol:?}");
        })
    });
    for failed in failed {
        failed.await.unwrap();
    }
}

#[tokio::test]
async fn idle_timeout_of_a_server_closes_a_ping_pong_connection() {
    if of_ttheader_alone("ping-pong connections") {
        return;
    }
    let peer = Peer::with(Handlers::default(), |server| server.idle_timeout(SHORT)).await;
    let mut wire = Wire::dial(&peer.address).await;
    // A call of a method that does not exist, in framed Thrift: it is answered, and the connection stays open.
    wire.bytes(b"\x00\x00\x00\x11\x80\x01\x00\x01\x00\x00\x00\x04Nope\x00\x00\x00\x01\x00").await;
    assert!(wire.is_closed_within(Duration::from_secs(60)).await, "the default is 10 min");
}

/// Returns how many messages of 10 kB a client buffers for a stream that is not received.
#[tokio::test]
async fn flow_control_receive_windows_bound_unread_messages() {
    if of_ttheader_alone("ConnectionConfig") {
        return;
    }
    let rows: [(&str, Change, usize); 3] = [
        ("stream_receive_window", |config| config.stream_receive_window = 50_000, 5),
        ("receive_window", |config| config.receive_window = 50_000, 5),
        ("defaults", |_| {}, 104),
    ];
    for (what, change, expected) in rows {
        let (reporter, mut reported) = reports();
        let peer = Peer::start(flood(reporter)).await;
        let client = peer.client_with(|client| client.connection(connection(change)));
        let ctx = Context::background();
        // Its connection is shared, so that the short `slow_consumer_timeout` applies.
        let _other = client.bidi(&ctx).await.unwrap();
        let mut slow = client.down(&ctx, req("", 0)).await.unwrap();
        assert_eq!(reported.next().await, "12901 server ServiceA", "{what}");
        let (count, error) = count_to_error(&mut slow).await;
        assert_eq!(brief(&error), "12901 client", "{what}");
        assert!((expected..expected + 3).contains(&count), "{what}: {count} messages of 10 kB");
    }
}

#[tokio::test]
async fn slow_consumer_timeouts_end_an_unread_stream() {
    if of_ttheader_alone("ConnectionConfig") {
        return;
    }
    let rows: [(&str, bool, SetTime); 2] = [
        ("slow_consumer_timeout", true, |config, time| config.slow_consumer_timeout = time),
        ("slow_consumer_timeout_exclusive", false, |config, time| {
            config.slow_consumer_timeout_exclusive = time;
        }),
    ];
    for (what, shared, set) in rows {
        let (reporter, mut reported) = reports();
        let peer = Peer::start(flood(reporter)).await;
        let begin = async |time| {
            let config = connection(|config| set(config, time));
            let client = peer.client_with(|client| client.connection(config));
            let ctx = Context::background();
            let other = if shared { Some(client.bidi(&ctx).await.unwrap()) } else { None };
            (client.down(&ctx, req("", 0)).await.unwrap(), other)
        };
        let (mut patient, _other) = begin(NEVER).await;
        let started = Instant::now();
        let _slow = begin(Duration::from_secs(2)).await;
        assert_eq!(reported.next().await, "12901 server ServiceA", "{what}");
        let took = started.elapsed();
        assert!((1500..20_000).contains(&took.as_millis()), "{what}: {took:?} is not about 2 s");
        // Three times the bound.
        for _ in 0..300 {
            assert!(soon(patient.recv()).await.unwrap().is_some(), "{what}: an hour has not passed");
        }
        assert!(reported.waiting().is_empty(), "{what}");
    }
}

/// Returns how many bytes Send accepts if the peer reads nothing.
async fn accepted(up: &ClientStreamingClient<Req, Resp>) -> usize {
    const MESSAGE: usize = 100_000;
    let mut bytes = 0;
    while bytes < 64 * MB {
        match tokio::time::timeout(Duration::from_secs(1), up.send(&large(MESSAGE))).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break,
        }
        bytes += MESSAGE;
    }
    bytes
}

const MB: usize = 1024 * 1024;

#[tokio::test]
async fn backpressure_send_buffers_bound_unwritten_messages() {
    if of_ttheader_alone("ConnectionConfig") {
        return;
    }
    // Socket buffers hold a few megabytes more.
    let rows = [
        ("stream_send_buffer", 64 * 1024, 48 * MB, 0..12 * MB),
        ("send_buffer", 48 * MB, MB, 0..12 * MB),
        ("wider ones", 16 * MB, 48 * MB, 16 * MB..28 * MB),
    ];
    for (what, stream_send_buffer, send_buffer, expected) in rows {
        let (listener, address) = listen().await;
        let config = connection(|config| {
            (config.stream_send_buffer, config.send_buffer) = (stream_send_buffer, send_buffer);
        });
        let socket = SocketConfig::default().write_timeout(NEVER);
        let client = builder(&address).connection(config).socket(socket);
        let client = EchoClient::new(client.build().unwrap());
        let up = client.up(&Context::background()).await.unwrap();
        let _silent = Wire::accept(&listener).await;
        let bytes = accepted(&up).await;
        assert!(expected.contains(&bytes), "{what}: {bytes} bytes");
    }
}

#[tokio::test]
async fn write_timeout_closes_a_connection_whose_peer_reads_nothing() {
    if of_ttheader_alone("SocketConfig") {
        return;
    }
    let config = SocketConfig::default().write_timeout(SHORT);
    let took = fastest(async || {
        let (reporter, mut reported) = reports();
        let peer = Peer::with(flood(reporter), |server| server.socket(config)).await;
        let mut wire = Wire::dial(&peer.address).await;
        wire.frame(1, Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
        wire.message(1, &req("", 0)).await;
        assert_eq!(reported.next().await, "12013 nowhere");

        let (listener, address) = listen().await;
        let client = EchoClient::new(builder(&address).socket(config).build().unwrap());
        let up = client.up(&Context::background()).await.unwrap();
        let _silent = Wire::accept(&listener).await;
        let error = failed_send(&up).await;
        assert_eq!(brief(&error), "12006 client");
    });
    let took = took.await;
    assert!(took < Duration::from_secs(9), "{took:?} for both: the default is 10 s each");
}

#[tokio::test]
async fn idle_timeout_of_a_server_closes_a_connection_without_a_stream() {
    let peer = Peer::with(Handlers::default(), |server| server.idle_timeout(SHORT)).await;
    let (mut busy, mut idle) = (Wire::dial(&peer.address).await, Wire::dial(&peer.address).await);
    open(&mut busy, 1).await;
    open(&mut idle, 1).await;
    idle.frame_of(1, "Bidi", Trailer, &[], b"").await;
    idle.next_of(Trailer).await;
    assert!(idle.is_closed_by_peer().await);
    tokio::time::sleep(2 * SHORT).await;
    echo(&mut busy, 1).await;
}

#[tokio::test]
async fn idle_timeout_of_a_client_closes_a_shared_connection_without_a_stream() {
    let peer = Peer::start(Handlers::default()).await;
    let proxy = Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).idle_timeout(SHORT).build().unwrap());
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    tokio::time::sleep(2 * SHORT).await;
    bidi.send(&req("", 0)).await.unwrap();
    assert!(soon(bidi.recv()).await.unwrap().is_some(), "a stream keeps its connection");
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    drop(bidi);
    let started = Instant::now();
    until(|| proxy.open() == 0).await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}: the default is 60 s");
    drop(soon(client.bidi(&Context::background())).await.unwrap());
    until(|| proxy.ever() == 2).await;
}

#[tokio::test]
async fn idle_timeout_of_a_client_closes_a_connection_of_ping_pong_calls() {
    for protocol in [CallProtocol::Ttheader, CallProtocol::Framed] {
        let peer = Peer::start(Handlers::default()).await;
        let proxy = Proxy::to(&peer.address).await;
        let client = builder(&proxy.address).call_protocol(protocol).idle_timeout(SHORT);
        let client = EchoClient::new(client.build().unwrap());
        // Twice: what watches the first connection ends with it.
        for ever in [1, 2] {
            assert!(soon(client.ping(&Context::background(), req("", 0))).await.is_ok());
            let started = Instant::now();
            until(|| proxy.open() == 0).await;
            let took = started.elapsed();
            assert!(took < Duration::from_secs(30), "{protocol:?}: {took:?}: the default is 60 s");
            assert_eq!(proxy.ever(), ever, "{protocol:?}: the next call dials");
        }
    }
}

#[tokio::test]
async fn connect_timeout_ends_an_unanswered_dial() {
    let unreachable = crate::fixture::Unreachable::new().await;
    for time in [SHORT, 2 * SHORT] {
        let client = EchoClient::new(builder(&unreachable.address).connect_timeout(time).build().unwrap());
        let error = soon(client.bidi(&Context::background())).await.unwrap_err();
        let words =
            format!("cannot connect to {}: no answer within {}ms", unreachable.address, time.as_millis());
        assert_eq!(error.to_string(), words);
    }
}

#[tokio::test]
async fn exit_wait_bounds_streams_at_graceful_shutdown() {
    let (reporter, mut reported) = reports();
    let patient = Peer::with(idle(reporter.clone()), |server| server.exit_wait(NEVER)).await;
    let ctx = Context::background();
    let mut other = patient.client().down(&ctx, req("", 0)).await.unwrap();
    soon(other.recv()).await.unwrap();
    let mut stopping = patient.stop();
    let took = fastest(async || {
        let peer = Peer::with(idle(reporter.clone()), |server| server.exit_wait(SHORT)).await;
        let mut down = peer.client().down(&ctx, req("", 0)).await.unwrap();
        soon(down.recv()).await.unwrap();
        let stopped = peer.stop();
        assert_eq!(ended(&soon(down.recv()).await), "12013 client ServiceB");
        soon(stopped).await.unwrap();
        assert_eq!(reported.next().await.1, "12013 nowhere");
    });
    let took = took.await;
    assert!(took < Duration::from_secs(4), "{took:?}: the default is 5 s");
    assert!((&mut stopping).now_or_never().is_none(), "a server waits for its stream");
    drop(other);
    assert_eq!(reported.next().await.1, "12007 server ServiceA");
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn resets_of_the_latest_64_streams_are_remembered() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    const STREAMS: i32 = 70;
    let (listener, address) = listen().await;
    let client = EchoClient::new(builder(&address).build().unwrap());
    let mut live = client.bidi(&Context::background()).await.unwrap();
    let mut wire = Wire::accept(&listener).await;
    let live_id = wire.next_of(Header).await.id;
    let mut ids = Vec::new();
    for _ in 0..STREAMS {
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        let id = wire.next_of(Header).await.id;
        let rst = ApplicationException::new(12007, "reset").encode("Bidi", id);
        wire.frame_of(id, "Bidi", Rst, &[], &rst).await;
        assert_eq!(ended(&soon(bidi.recv()).await), "12007 client");
        ids.push(id);
    }
    // Data for a remembered stream gets an Rst in response; other data is ignored.
    for &id in &ids {
        wire.message(id, &resp("", 0)).await;
    }
    wire.frame_of(live_id, "Bidi", Header, &[], b"").await;
    wire.message(live_id, &resp("", 0)).await;
    assert!(soon(live.recv()).await.unwrap().is_some());
    live.send(&req("", 0)).await.unwrap();
    let mut answered = Vec::new();
    loop {
        let seen = wire.next().await.expect("the connection stands");
        match seen.kind {
            Some(Rst) => answered.push(seen.id),
            Some(Data) => break,
            _ => {}
        }
    }
    assert_eq!(answered, ids[ids.len() - 64..]);
}

#[tokio::test]
async fn error_text_and_extra_of_a_peer_are_bounded() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    let (listener, address) = listen().await;
    let client = EchoClient::new(builder(&address).build().unwrap());
    let text = "x".repeat(10_000);
    let rst = ApplicationException::new(12007, &text).encode("Down", 1);
    let nested: [(&[u8], &[u8]); 2] = [(key::BIZ_STATUS, b"404"), (key::BIZ_EXTRA, br#"{"a":{"b":"c"}}"#)];
    let flat: [(&[u8], &[u8]); 2] = [(key::BIZ_STATUS, b"404"), (key::BIZ_EXTRA, br#"{"a":"b"}"#)];
    let rows: [(&str, BytesMut, &str); 3] = [
        ("a text of 10,000 bytes", frame_of(1, "Down", Rst, &[], &rst), "12007 client"),
        ("an extra of two levels", frame_of(1, "Down", Trailer, &nested, b""), "12003 client"),
        ("an extra of one level", frame_of(1, "Down", Trailer, &flat, b""), "biz 404"),
    ];
    for (what, frame, expected) in rows {
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        let mut wire = Wire::accept(&listener).await;
        wire.next_of(Trailer).await;
        wire.bytes(&frame).await;
        let error = soon(down.recv()).await.unwrap_err();
        assert_eq!(brief(&error), expected, "{what}");
        assert!(error.to_string().len() < 4096 + 200, "{what}: {} bytes", error.to_string().len());
        drop(wire);
        until(|| client.as_ref().pool_stats().connections == 0).await;
    }
}

/// The connection that an opening waits on is lost before it has taken the stream.
#[tokio::test]
async fn opening_is_retried_if_its_connection_just_closed() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    let (listener, address) = listen().await;
    let config = connection(|config| (config.stream_send_buffer, config.send_buffer) = (MB, MB));
    let client = builder(&address).pool(PoolKind::Mux(1)).connection(config).build().unwrap();
    let echo = EchoClient::new(client.clone());
    let up = echo.up(&Context::background()).await.unwrap();
    let wire = Wire::accept(&listener).await;
    assert!(accepted(&up).await < 64 * MB, "Send waits");
    let opening = tokio::spawn(async move { echo.bidi(&Context::background()).await });
    // The opening is pending: it waits only for room on the connection.
    tokio::time::sleep(SHORT).await;
    assert!(!opening.is_finished(), "an opening waits as Send does");
    drop(wire);
    let mut wire = Wire::accept(&listener).await;
    let id = wire.next_of(Header).await.id;
    wire.frame_of(id, "Bidi", Header, &[], b"").await;
    wire.message(id, &resp("", 7)).await;
    let mut bidi = soon(opening).await.unwrap().unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(7));
    assert_eq!(client.pool_stats().dials, 2);
    assert_eq!(ended(&soon(up.send(&req("", 0))).await), "12006 client");
}
