//! Bounds of `docs/limits.md` through the public builders, over real sockets. Each test sets a bound to a
//! value far from its default, and fails if the bound is ignored, too wide, or not there.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use kitex::bytes::{Bytes, BytesMut};
use kitex::client::PoolKind;
use kitex::server::ConnectionConfig;
use kitex::{ApplicationException, ClientStreamingClient, Context, Payload};
use tokio::net::TcpListener;
use ttheader_codec::FrameType::{Data, Header, Rst, Trailer};
use ttheader_codec::key;

use crate::fixture::chain::idle;
use crate::fixture::{
    EchoClient, Handlers, Peer, Proxy, Req, Resp, Tell, Wire, answer, brief, builder, ended, frame_of, large,
    reports, req, resp, soon, until,
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

/// Opens a stream that echoes, and waits until it does.
async fn open(wire: &mut Wire, id: i32) {
    wire.frame_of(id, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
    echo(wire, id).await;
}

async fn echo(wire: &mut Wire, id: i32) {
    wire.message(id, &req("", 0)).await;
    assert_eq!(wire.next_of(Data).await.id, id);
}

/// Sends as fast as it may until an error.
fn flood(tell: Tell<String>) -> Handlers {
    Handlers::default().down(move |_, _, stream| {
        let tell = tell.clone();
        async move {
            let message = answer(large(10_000));
            loop {
                if let Err(error) = stream.send(&message).await {
                    tell.tell(brief(&error));
                    return Err(error);
                }
            }
        }
    })
}

/// A data frame of stream 1 with a message of `payload` bytes, and `pairs` strings of `value` bytes.
fn data(method: &str, payload: usize, pairs: usize, value: usize) -> BytesMut {
    let mut message = BytesMut::new();
    Resp { payload: Some(Bytes::from(vec![7; payload])), ..resp("", 0) }.encode(&mut message).unwrap();
    let keys: Vec<String> = (0..pairs).map(|pair| format!("k{pair}")).collect();
    let value = vec![b'v'; value];
    let strings: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (key.as_bytes(), &*value)).collect();
    frame_of(1, method, Data, &strings, &message)
}

/// A bound of a frame, and payload, pairs and bytes of a value: of a frame within it, and of one beyond.
type FrameRow = (&'static str, Change, [usize; 3], [usize; 3]);

#[rustfmt::skip]
const FRAMES: &[FrameRow] = &[
    ("frame_len", |config| config.limits.frame_len = 1000, [500, 0, 0], [1500, 0, 0]),
    ("header_len", |config| config.limits.header_len = 200, [500, 1, 50], [500, 1, 300]),
    ("pairs", |config| config.limits.pairs = 8, [500, 3, 1], [500, 9, 1]),
];

#[tokio::test]
async fn frame_len_header_len_and_pairs_end_a_clients_connection() {
    for (what, change, within, beyond) in FRAMES {
        let (listener, address) = listen().await;
        let client = EchoClient::new(builder(&address).connection(connection(change)).build().unwrap());
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        let mut wire = Wire::accept(&listener).await;
        wire.next_of(Trailer).await;
        wire.frame(1, Header, &[], b"").await;
        let [payload, pairs, value] = *within;
        wire.bytes(&data("Down", payload, pairs, value)).await;
        assert!(soon(down.recv()).await.unwrap().is_some(), "{what}: within the bound");
        let [payload, pairs, value] = *beyond;
        wire.bytes(&data("Down", payload, pairs, value)).await;
        assert_eq!(ended(&soon(down.recv()).await), "12004 client", "{what}");
        assert!(wire.is_closed_by_peer().await, "{what}");
    }
}

#[tokio::test]
async fn frame_len_header_len_and_pairs_end_a_servers_connection() {
    for (what, change, within, beyond) in FRAMES {
        let peer = Peer::with(Handlers::default(), |server| server.connection(connection(change))).await;
        let mut wire = Wire::dial(&peer.address).await;
        open(&mut wire, 1).await;
        let [payload, pairs, value] = *within;
        wire.bytes(&data("Bidi", payload, pairs, value)).await;
        wire.next_of(Data).await;
        let [payload, pairs, value] = *beyond;
        wire.bytes(&data("Bidi", payload, pairs, value)).await;
        let mut answers = 0;
        while let Some(seen) = wire.next().await {
            answers += usize::from(seen.kind == Some(Data));
        }
        assert_eq!(answers, 0, "{what}: the connection ends before the frame reaches its handler");
    }
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

    // One that ends makes room for another, once the server has seen its end.
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
async fn preface_timeout_closes_a_connection_that_does_not_say_what_it_speaks() {
    let peer = Peer::with(Handlers::default(), |server| server.preface_timeout(SHORT)).await;
    for first in [&b""[..], &[0, 0, 0, 86, 0x10, 0, 0]] {
        let mut wire = Wire::dial(&peer.address).await;
        let dialed = Instant::now();
        wire.bytes(first).await;
        assert!(wire.is_closed_by_peer().await);
        let took = dialed.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}: the default is 5 s");
    }
    let mut wire = Wire::dial(&peer.address).await;
    open(&mut wire, 1).await;
    tokio::time::sleep(2 * SHORT).await;
    echo(&mut wire, 1).await;
}

/// Messages of 10 kB that a client holds of a stream that it does not read.
#[tokio::test]
async fn receive_windows_bound_what_waits_to_be_taken() {
    let rows: [(&str, Change, usize); 3] = [
        ("stream_receive_window", |config| config.stream_receive_window = 50_000, 5),
        ("receive_window", |config| config.receive_window = 50_000, 5),
        ("defaults", |_| {}, 104),
    ];
    for (what, change, expected) in rows {
        let (tell, mut told) = reports();
        let peer = Peer::start(flood(tell)).await;
        let client = peer.client_with(|client| client.connection(connection(change)));
        let ctx = Context::background();
        // Its connection is shared, so that it is unread for a short time only.
        let _other = client.bidi(&ctx).await.unwrap();
        let mut slow = client.down(&ctx, req("", 0)).await.unwrap();
        assert_eq!(told.next().await, "12901 server ServiceA", "{what}");
        let mut count = 0;
        let error = loop {
            match soon(slow.recv()).await {
                Ok(message) => count += usize::from(message.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!(brief(&error), "12901 client", "{what}");
        assert!((expected..expected + 3).contains(&count), "{what}: {count} messages of 10 kB");
    }
}

#[tokio::test]
async fn slow_consumer_timeouts_end_a_stream_that_is_not_read() {
    let rows: [(&str, bool, SetTime); 2] = [
        ("slow_consumer_timeout", true, |config, time| config.slow_consumer_timeout = time),
        ("slow_consumer_timeout_exclusive", false, |config, time| {
            config.slow_consumer_timeout_exclusive = time;
        }),
    ];
    for (what, shared, set) in rows {
        let (tell, mut told) = reports();
        let peer = Peer::start(flood(tell)).await;
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
        assert_eq!(told.next().await, "12901 server ServiceA", "{what}");
        let took = started.elapsed();
        assert!((1500..20_000).contains(&took.as_millis()), "{what}: {took:?} is not about 2 s");
        // Three times what the bound holds.
        for _ in 0..300 {
            assert!(soon(patient.recv()).await.unwrap().is_some(), "{what}: an hour has not passed");
        }
        assert!(told.waiting().is_empty(), "{what}");
    }
}

/// Bytes that Send takes for a peer that reads nothing.
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
async fn send_buffers_bound_what_waits_to_be_written() {
    // The sockets take a few megabytes beside.
    let rows = [
        ("stream_send_buffer", 64 * 1024, 48 * MB, 0..12 * MB),
        ("send_buffer", 48 * MB, MB, 0..12 * MB),
        ("wider ones", 16 * MB, 48 * MB, 16 * MB..28 * MB),
    ];
    for (what, stream_send_buffer, send_buffer, expected) in rows {
        let (listener, address) = listen().await;
        let config = connection(|config| {
            (config.stream_send_buffer, config.send_buffer) = (stream_send_buffer, send_buffer);
            config.write_timeout = NEVER;
        });
        let client = EchoClient::new(builder(&address).connection(config).build().unwrap());
        let up = client.up(&Context::background()).await.unwrap();
        let _silent = Wire::accept(&listener).await;
        let bytes = accepted(&up).await;
        assert!(expected.contains(&bytes), "{what}: {bytes} bytes");
    }
}

#[tokio::test]
async fn write_timeout_closes_a_connection_whose_peer_reads_nothing() {
    let config = connection(|config| config.write_timeout = SHORT);
    let started = Instant::now();

    let (tell, mut told) = reports();
    let peer = Peer::with(flood(tell), |server| server.connection(config.clone())).await;
    let mut wire = Wire::dial(&peer.address).await;
    wire.frame(1, Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
    wire.message(1, &req("", 0)).await;
    assert_eq!(told.next().await, "12013 nowhere");

    let (listener, address) = listen().await;
    let client = EchoClient::new(builder(&address).connection(config).build().unwrap());
    let up = client.up(&Context::background()).await.unwrap();
    let _silent = Wire::accept(&listener).await;
    let error = soon(async {
        loop {
            if let Err(error) = up.send(&large(100_000)).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(brief(&error), "12006 client");
    let took = started.elapsed();
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
    assert_eq!(proxy.ever(), 2, "the next stream dials");
}

#[tokio::test]
async fn connect_timeout_ends_a_dial_that_nobody_answers() {
    let hole = crate::fixture::Hole::new().await;
    for time in [SHORT, 2 * SHORT] {
        let client = EchoClient::new(builder(&hole.address).connect_timeout(time).build().unwrap());
        let error = soon(client.bidi(&Context::background())).await.unwrap_err();
        let words = format!("cannot connect to {}: no answer within {}ms", hole.address, time.as_millis());
        assert_eq!(error.to_string(), words);
    }
}

#[tokio::test]
async fn exit_wait_is_how_long_a_stream_may_go_on_at_shutdown() {
    let (tell, mut told) = reports();
    let peer = Peer::with(idle(tell.clone()), |server| server.exit_wait(SHORT)).await;
    let patient = Peer::with(idle(tell), |server| server.exit_wait(NEVER)).await;
    let ctx = Context::background();
    let mut down = peer.client().down(&ctx, req("", 0)).await.unwrap();
    let mut other = patient.client().down(&ctx, req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    soon(other.recv()).await.unwrap();
    let started = Instant::now();
    let (stopped, mut stopping) = (peer.stop(), patient.stop());
    assert_eq!(ended(&soon(down.recv()).await), "12013 client ServiceB");
    soon(stopped).await.unwrap();
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}: the default is 5 s");
    assert_eq!(told.next().await.1, "12013 nowhere");
    assert!((&mut stopping).now_or_never().is_none(), "a server waits for its stream");
    drop(other);
    assert_eq!(told.next().await.1, "12007 server ServiceA");
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn resets_of_the_latest_64_streams_are_remembered() {
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
    // Data for a stream that is remembered is answered; for one that is not, it means nothing.
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
async fn an_opening_on_a_connection_that_just_closed_takes_another() {
    let (listener, address) = listen().await;
    let config = connection(|config| (config.stream_send_buffer, config.send_buffer) = (MB, MB));
    let client = builder(&address).pool(PoolKind::Mux(1)).connection(config).build().unwrap();
    let echo = EchoClient::new(client.clone());
    let up = echo.up(&Context::background()).await.unwrap();
    let wire = Wire::accept(&listener).await;
    assert!(accepted(&up).await < 64 * MB, "Send waits");
    let opening = tokio::spawn(async move { echo.bidi(&Context::background()).await });
    // It is on its way: nothing else is to happen before the connection has room.
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
