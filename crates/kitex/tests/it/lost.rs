//! Lost connections: received messages are delivered first, then the whole chain ends; a restarted server is dialed
//! again.

use futures_util::FutureExt;
use kitex::bytes::{Bytes, BytesMut};
use kitex::client::PoolKind;
use kitex::kitex_thrift::Payload;
use kitex::{Context, Error, Server};
use tokio::net::TcpListener;
use ttheader_codec::FrameType::{Data, Header, Trailer};
use ttheader_codec::{FrameType, key};

use crate::fixture::by;
use crate::fixture::chain::{client, idle, relay};
use crate::fixture::echo::EchoServer;
use crate::fixture::of_ttheader_alone;
use crate::fixture::{
    EchoClient, Handlers, Peer, Proxy, Refusing, Wire, brief, builder, ended, frame_of, large, reports, req,
    resp, soon,
};

const POOLS: [PoolKind; 3] = [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short];

/// A listener that stands in for a server, and a client of it.
async fn raw() -> (TcpListener, EchoClient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, EchoClient::new(builder(&address).build().unwrap()))
}

/// The bytes of one frame.
fn bytes_of(kind: FrameType, strings: &[(&[u8], &[u8])], message: Option<i64>) -> Bytes {
    let mut payload = BytesMut::new();
    if let Some(seq) = message {
        resp("", seq).encode(&mut payload).unwrap();
    }
    frame_of(1, "Down", kind, strings, &payload).freeze()
}

#[tokio::test]
async fn lost_connection_delivers_received_messages_first() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    // The frames that are written, how many bytes of the last one, and what the client receives.
    let frame = |kind, message| bytes_of(kind, &[], message);
    let rows: &[(&[Bytes], usize, usize, &str)] = &[
        (&[], 0, 0, "12006 client"),
        (&[frame(Header, None)], 9, 0, "12006 client"),
        (&[frame(Header, None)], usize::MAX, 0, "12006 client"),
        (&[frame(Header, None), frame(Data, Some(0)), frame(Data, Some(1))], usize::MAX, 2, "12006 client"),
        (&[frame(Header, None), frame(Data, Some(0)), frame(Data, Some(1))], 30, 1, "12006 client"),
        (&[frame(Header, None), frame(Data, Some(0)), frame(Trailer, None)], 20, 1, "12006 client"),
        (&[frame(Header, None), frame(Data, Some(0)), frame(Trailer, None)], usize::MAX, 1, "ok"),
        (
            &[
                frame(Header, None),
                frame(Data, Some(0)),
                bytes_of(Trailer, &[(key::BIZ_STATUS, b"404")], None),
            ],
            usize::MAX,
            1,
            "biz 404",
        ),
    ];
    let (listener, client) = raw().await;
    for (frames, last, messages, expected) in rows {
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        let mut wire = Wire::accept(&listener).await;
        wire.next_of(Trailer).await;
        let (whole, cut) = frames.split_at(frames.len().saturating_sub(1));
        for frame in whole {
            wire.bytes(frame).await;
        }
        for frame in cut {
            wire.bytes(&frame[..frame.len().min(*last)]).await;
        }
        drop(wire);
        for seq in 0..*messages {
            let seq = i64::try_from(seq).unwrap();
            assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(seq), "{expected}");
        }
        let end = soon(down.recv()).await;
        assert_eq!(ended(&end), *expected, "{} frames", frames.len());
        assert!(end.is_err() || end.unwrap().is_none());
    }
}

/// The client notices the loss when a write fails, before it has read the trailer that had arrived.
#[tokio::test]
async fn lost_connection_at_a_write_does_not_hide_the_outcome() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    let rows = [("ok", None), ("biz 404", Some((key::BIZ_STATUS, &b"404"[..])))];
    for (expected, string) in rows {
        let (listener, client) = raw().await;
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        let mut wire = Wire::accept(&listener).await;
        bidi.send(&req("", 0)).await.unwrap();
        wire.next_of(Data).await;
        bidi.send(&req("never read", 0)).await.unwrap();
        // From here to the failing write the client's reader is not scheduled.
        for (kind, message) in [(Header, None), (Data, Some(0)), (Data, Some(1))] {
            wire.bytes(&bytes_of(kind, &[], message)).now_or_never().unwrap();
        }
        let strings: Vec<_> = string.into_iter().collect();
        wire.bytes(&bytes_of(Trailer, &strings, None)).now_or_never().unwrap();
        drop(wire);
        for _ in 0..3 {
            let _ = bidi.send(&req("not delivered", 0)).now_or_never();
        }
        for seq in 0..2 {
            assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq), "{expected}");
        }
        assert_eq!(ended(&soon(bidi.recv()).await), expected);
    }
}

#[tokio::test]
async fn lost_connection_ends_its_streams_and_cancels_its_handlers() {
    for pool in POOLS {
        let (reporter, mut reported) = reports();
        let (of_up, of_call) = (reporter.clone(), reporter.clone());
        let handlers = idle(reporter)
            .up(move |_, mut stream| {
                let reporter = of_up.clone();
                async move {
                    reporter.send(("up".to_owned(), "begun".to_owned()));
                    let error = loop {
                        if let Err(error) = stream.recv().await {
                            break error;
                        }
                    };
                    reporter.send(("up".to_owned(), brief(&error)));
                    Err(error)
                }
            })
            .unary(move |ctx, _| {
                let reporter = of_call.clone();
                async move {
                    reporter.send(("call".to_owned(), "begun".to_owned()));
                    let error = Error::from(ctx.canceled().await);
                    reporter.send(("call".to_owned(), brief(&error)));
                    Err(error)
                }
            });
        let peer = Peer::start(handlers).await;
        let proxy = Proxy::to(&peer.address).await;
        let client = EchoClient::new(builder(&proxy.address).pool(pool).build().unwrap());
        let ctx = Context::background();
        let mut down = client.down(&ctx, req("", 0)).await.unwrap();
        soon(down.recv()).await.unwrap();
        let mut up = client.up(&ctx).await.unwrap();
        assert_eq!(reported.next().await.1, "begun");
        let calling = client.clone();
        let call = tokio::spawn(async move { calling.unary(&Context::background(), req("", 0)).await });
        assert_eq!(reported.next().await.1, "begun");
        proxy.cut();
        assert_eq!(ended(&soon(down.recv()).await), "12006 client", "{pool:?}");
        assert_eq!(ended(&soon(up.close_and_recv()).await), "12006 client", "{pool:?}");
        let call = ended(&soon(call).await.unwrap());
        assert!(call.starts_with("network "), "{pool:?}: {call}");
        let mut parts = [reported.next().await, reported.next().await, reported.next().await];
        parts.sort();
        let words = [("ServiceB", "12013 nowhere"), ("call", "12013 nowhere"), ("up", "12013 nowhere")];
        assert_eq!(parts, words.map(|(name, end)| (name.to_owned(), end.to_owned())), "{pool:?}");
    }
}

#[tokio::test]
async fn lost_connection_in_a_chain_ends_both_sides() {
    let (reporter, mut reported) = reports();
    let d = Peer::named("ServiceD", idle(reporter.clone()), |server| server).await;
    let c = relay(client("ServiceD", &d.address), reporter.clone());
    let c = Peer::named("ServiceC", c, |server| server).await;
    let proxy = Proxy::to(&c.address).await;
    let b = Peer::start(relay(client("ServiceC", &proxy.address), reporter)).await;
    let mut down = b.client().down(&Context::background(), req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    proxy.cut();
    assert_eq!(ended(&soon(down.recv()).await), by("12001 client", "grpc 13"), "what B's handler returned");
    let mut parts = [reported.next().await, reported.next().await, reported.next().await];
    parts.sort();
    let words =
        [("ServiceB", "12006 client"), ("ServiceC", "12013 client"), ("ServiceD", "12013 server ServiceC")];
    assert_eq!(parts, words.map(|(name, end)| (name.to_owned(), end.to_owned())));
}

#[tokio::test]
async fn lost_server_is_dialed_again() {
    for pool in POOLS {
        let refusing = Refusing::new();
        let client = EchoClient::new(builder(&refusing.address).pool(pool).build().unwrap());
        let ctx = Context::background();
        for _ in 0..3 {
            let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
            let peer = Peer::bind(server, &refusing.address).await;
            // The loss of the last connection may be noticed only now, and a dial may have failed just before.
            soon(async {
                while client.unary(&ctx, req("", 0)).await.is_err() || echo_once(&client).await.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            })
            .await;
            let mut open = client.bidi(&ctx).await.unwrap();
            open.send(&req("", 0)).await.unwrap();
            soon(open.recv()).await.unwrap();
            let stopped = peer.stop();
            // The server does not cancel it within `exit_wait`; this client ends it.
            drop(open);
            soon(stopped).await.unwrap();
            // Until the end of the connection is noticed, a stream may be opened on it.
            soon(async {
                while ended(&client.bidi(&ctx).await) != "connect" {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            assert!(soon(client.unary(&ctx, req("", 0))).await.is_err(), "{pool:?}: no server is running");
        }
    }
}

async fn echo_once(client: &EchoClient) -> kitex::Result<()> {
    let mut bidi = client.bidi(&Context::background()).await?;
    bidi.send(&req("", 1)).await?;
    bidi.recv().await.map(drop)
}

/// Messages that a handler has not yet received are not lost with the connection either.
#[tokio::test]
async fn lost_connection_gives_a_handler_messages_or_the_loss() {
    let (reporter, mut reported) = reports();
    let up = move |_, mut stream: kitex::ClientStreamingServer<_>| {
        let reporter = reporter.clone();
        async move {
            reporter.send((0, "begun".to_owned()));
            let mut count = 0;
            let error = loop {
                match stream.recv().await {
                    Ok(Some(_)) => count += 1,
                    Ok(None) => panic!("a loss is no clean end"),
                    Err(error) => break error,
                }
            };
            reporter.send((count, brief(&error)));
            Err(error)
        }
    };
    let peer = Peer::start(Handlers::default().up(up)).await;
    let proxy = Proxy::to(&peer.address).await;
    let client = EchoClient::new(builder(&proxy.address).build().unwrap());
    let stream = client.up(&Context::background()).await.unwrap();
    assert_eq!(reported.next().await.1, "begun");
    for _ in 0..20 {
        stream.send(&large(1000)).await.unwrap();
    }
    proxy.cut();
    let (count, end) = reported.next().await;
    assert_eq!(end, "12013 nowhere");
    assert!(count <= 20, "{count}");
}
