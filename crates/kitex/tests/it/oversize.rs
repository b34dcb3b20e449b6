//! A frame that exceeds a limit ends only its own stream or call, whichever side wrote it; other streams of the connection
//! are not affected.

use kitex::bytes::{Bytes, BytesMut};
use kitex::client::CallProtocol;
use kitex::kitex_thrift::Payload;
use kitex::server::ConnectionConfig;
use kitex::{BidiStreamingClient, Context};
use tokio::net::TcpListener;
use ttheader_codec::FrameType::{Data, Header, Rst};
use ttheader_codec::{Limits, key};

use crate::fixture::chain::client;
use crate::fixture::{
    EchoClient, Handlers, Peer, Req, Resp, Wire, answer, brief, builder, ended, frame_of, large, req, resp,
    soon,
};

type Change = fn(&mut ConnectionConfig);

fn connection(change: Change) -> ConnectionConfig {
    let mut config = ConnectionConfig::default();
    change(&mut config);
    config
}

/// A data frame with a message of `payload` bytes, and `pairs` strings of `value` bytes.
fn data(id: i32, method: &str, [payload, pairs, value]: [usize; 3]) -> BytesMut {
    let mut message = BytesMut::new();
    Resp { payload: Some(Bytes::from(vec![7; payload])), ..resp("", 0) }.encode(&mut message).unwrap();
    let keys: Vec<String> = (0..pairs).map(|pair| format!("k{pair}")).collect();
    let value = vec![b'v'; value];
    let strings: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (key.as_bytes(), &*value)).collect();
    frame_of(id, method, Data, &strings, &message)
}

/// A limit of a frame, then payload, pairs and bytes per value of a frame within it and of one beyond.
type FrameRow = (&'static str, Change, [usize; 3], [usize; 3]);

#[rustfmt::skip]
const FRAMES: &[FrameRow] = &[
    ("frame_len", |config| config.limits.frame_len = 1000, [500, 0, 0], [1500, 0, 0]),
    ("frame_len, by far", |config| config.limits.frame_len = 1000, [500, 0, 0], [1 << 20, 0, 0]),
    ("header_len", |config| config.limits.header_len = 200, [500, 1, 50], [500, 1, 300]),
    ("pairs", |config| config.limits.pairs = 8, [500, 3, 1], [500, 9, 1]),
];

#[tokio::test]
async fn frame_len_header_len_and_pairs_end_one_stream_of_a_client() {
    for (what, change, within, beyond) in FRAMES {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let client = EchoClient::new(builder(&address).connection(connection(*change)).build().unwrap());
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        let mut other = client.down(&Context::background(), req("", 0)).await.unwrap();
        let mut wire = Wire::accept(&listener).await;
        wire.frame(1, Header, &[], b"").await;
        wire.bytes(&data(1, "Down", *within)).await;
        assert!(soon(down.recv()).await.unwrap().is_some(), "{what}: within the bound");
        wire.bytes(&data(1, "Down", *beyond)).await;
        assert_eq!(ended(&soon(down.recv()).await), "12004 client", "{what}");
        assert_eq!(wire.next_of(Rst).await.error().0, 12004, "{what}: the server gets an Rst");
        wire.frame(2, Header, &[], b"").await;
        wire.bytes(&data(2, "Down", *within)).await;
        assert!(soon(other.recv()).await.unwrap().is_some(), "{what}: the other stream goes on");
    }
}

#[tokio::test]
async fn frame_len_header_len_and_pairs_end_one_stream_of_a_server() {
    for (what, change, within, beyond) in FRAMES {
        let peer = Peer::with(Handlers::default(), |server| server.connection(connection(*change))).await;
        let mut wire = Wire::dial(&peer.address).await;
        for id in [1, 2] {
            wire.frame_of(id, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
            wire.bytes(&data(id, "Bidi", *within)).await;
            assert_eq!(wire.next_of(Data).await.id, id, "{what}: within the bound");
        }
        wire.bytes(&data(1, "Bidi", *beyond)).await;
        let rst = wire.next_of(Rst).await;
        assert_eq!((rst.id, rst.error().0), (1, 12004), "{what}");
        wire.bytes(&data(2, "Bidi", *within)).await;
        assert_eq!(wire.next_of(Data).await.id, 2, "{what}: the other stream goes on");
    }
}

fn small(config: &mut ConnectionConfig) {
    config.limits = Limits { frame_len: 20_000, header_len: 4000, pairs: 40 };
}

async fn echoes(stream: &mut BidiStreamingClient<Req, Resp>, what: &str) {
    soon(stream.send(&req("still here", 1))).await.unwrap();
    let got = soon(stream.recv()).await;
    assert_eq!(got.map(|got| got.and_then(|got| got.seq)).map_err(|e| brief(&e)), Ok(Some(1)), "{what}");
}

fn many(count: usize) -> Context {
    (0..count).fold(Context::background(), |ctx, at| ctx.with_persistent(format!("k{at}"), "v"))
}

#[tokio::test]
async fn frame_limits_of_a_writer_fail_one_call() {
    let handlers = Handlers::default().down(|ctx, req, stream| async move {
        match &*req.msg.unwrap_or_default() {
            "message" => stream.send(&answer(large(30_000))).await,
            "header" => {
                stream.set_header("k", vec![b'v'; 5000])?;
                stream.send_header()
            }
            _ => {
                ctx.send_backward("k", vec![b'v'; 5000]);
                Ok(())
            }
        }
    });
    let peer = Peer::with(handlers, |server| server.connection(connection(small))).await;
    let client = peer.client_with(|client| client.connection(connection(small)));
    let ctx = Context::background();
    let mut other = client.bidi(&ctx).await.unwrap();
    let culprit = client.bidi(&ctx).await.unwrap();
    assert_eq!(ended(&soon(culprit.send(&large(30_000))).await), "12005 client");
    echoes(&mut other, "a request").await;
    assert_eq!(ended(&soon(client.down(&many(50), req("", 0))).await), "12005 client");
    echoes(&mut other, "metainfo").await;
    for what in ["message", "header", "trailer"] {
        let mut down = client.down(&ctx, req(what, 0)).await.unwrap();
        let end = loop {
            match soon(down.recv()).await {
                Ok(Some(_)) => {}
                end => break ended(&end),
            }
        };
        assert_eq!(end, "12001 client", "{what}");
        echoes(&mut other, what).await;
    }
}

#[tokio::test]
async fn frame_limits_fail_one_ping_pong_call() {
    for protocol in [CallProtocol::Ttheader, CallProtocol::Framed] {
        let what = format!("{protocol:?}");
        let handlers = Handlers::default().ping(|_, req| async move {
            let answer = if req.seq == Some(1) { large(30_000) } else { req };
            Ok(crate::fixture::answer(answer))
        });
        let peer = Peer::with(handlers, |server| server.connection(connection(small))).await;
        let wide = peer.client_with(|client| client.call_protocol(protocol));
        let ctx = Context::background();
        // The server skips the request, responds with an error, and serves the next call on the connection.
        let refused = soon(wide.ping(&ctx, large(100_000))).await.map_err(|error| error.to_string());
        assert!(refused.unwrap_err().contains("exceeds the limit of 20000"), "{what}");
        assert!(soon(wide.ping(&ctx, req("", 0))).await.is_ok(), "{what}");
        assert_eq!(wide.as_ref().pool_stats().dials, 1, "{what}: the connection is used again");
        // It checks its own responses before they are sent.
        let refused = soon(wide.ping(&ctx, req("", 1))).await.map_err(|error| error.to_string());
        assert!(refused.unwrap_err().contains("response cannot be sent: frame of"), "{what}");
        assert_eq!(wide.as_ref().pool_stats().dials, 1, "{what}: the connection is used again");

        let tight = peer.client_with(|client| client.call_protocol(protocol).connection(connection(small)));
        let refused = soon(tight.ping(&ctx, large(100_000))).await.map_err(|error| error.to_string());
        assert!(refused.unwrap_err().contains("exceeds the limit of 20000"), "{what}");
        assert_eq!(tight.as_ref().pool_stats().dials, 0, "{what}: refused before it costs a connection");
    }
}

#[tokio::test]
async fn frame_limits_at_a_relay_fail_one_user() {
    let last = Peer::with(Handlers::default(), |server| server.connection(connection(small))).await;
    let next = EchoClient::new(builder(&last.address).connection(connection(small)).build().unwrap());
    let relay = Handlers::default().down(move |ctx, req, stream| {
        let next = next.clone();
        async move {
            // A gateway adds a name of its own, and calls a method with a longer one.
            let ctx = ctx.with_persistent("gateway", "gw-1").with_transient("hop", "1");
            let mut relayed = next.bidi(&ctx).await?;
            relayed.send(&Req { msg: Some("a longer message than came".into()), ..req }).await?;
            while let Some(message) = relayed.recv().await? {
                stream.send(&message).await?;
            }
            Ok(())
        }
    });
    let gateway = Peer::with(relay, |server| server.connection(connection(small))).await;
    let users: Vec<EchoClient> = (0..20).map(|_| client("ServiceB", &gateway.address)).collect();
    let mut streams = Vec::new();
    for user in &users {
        let mut stream = user.down(&Context::background(), req("", 0)).await.unwrap();
        assert!(soon(stream.recv()).await.unwrap().is_some());
        streams.push(stream);
    }
    let attacker = client("ServiceB", &gateway.address);
    let (mut passed, mut failed) = (0, 0);
    for pairs in 30..40 {
        let mut stream = attacker.down(&many(pairs), req("", 0)).await.unwrap();
        let end = soon(stream.recv()).await;
        if end.is_ok() { passed += 1 } else { failed += 1 }
    }
    for payload in 19_870..19_970 {
        let mut stream = attacker.down(&Context::background(), large(payload)).await.unwrap();
        let end = soon(stream.recv()).await;
        if end.is_ok() { passed += 1 } else { failed += 1 }
    }
    assert!(
        passed > 0 && failed > 0,
        "{passed} passed, {failed} failed: both sides of the bounds were tried"
    );
    for stream in &mut streams {
        assert!(futures_util::FutureExt::now_or_never(stream.recv()).is_none(), "the stream goes on");
    }
}
