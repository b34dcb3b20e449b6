//! Cancel safety: every asynchronous method, dropped at each of its awaits and called again. The rows of
//! `docs/cancel-safety.md`.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use kitex::client::PoolKind;
use kitex::kitex_thrift::Payload;
use kitex::{Context, Error, Server, Side};
use tokio::sync::watch;

use crate::fixture::echo::EchoServer;
use crate::fixture::of_ttheader_alone;
use crate::fixture::{
    EchoClient, Handlers, Peer, answer, builder, ended, large, reports, req, resp, soon, until,
};

/// Calls a method repeatedly, dropping its future whenever it is pending, until one completes.
async fn interrupted<T, F: Future<Output = T>>(mut call: impl FnMut() -> F) -> T {
    soon(async {
        loop {
            let first = {
                let mut call = pin!(call());
                poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await
            };
            match first {
                Poll::Ready(result) => return result,
                Poll::Pending => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await
}

/// Polls `call` this often, each time after a wake, and drops it. Returns its output if it completed.
async fn polled<T>(times: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut left = times;
    soon(poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            // No wait after the last poll.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }))
    .await
}

const MESSAGES: i64 = 200;

/// Both ends of one stream: requests and responses, with small buffers so that Send waits.
#[tokio::test]
async fn cancel_safe_send_recv_and_header_lose_and_repeat_nothing() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().bidi(move |_, mut stream| {
        let reporter = reporter.clone();
        async move {
            while let Some(request) = interrupted_recv(&mut stream).await? {
                let message = answer(request);
                soon(async {
                    loop {
                        tokio::select! {
                            biased;
                            sent = stream.send(&message) => return sent,
                            () = tokio::task::yield_now() => {}
                        }
                    }
                })
                .await?;
            }
            reporter.send("done");
            Ok(())
        }
    });
    let peer = Peer::start(handlers).await;
    let mut stream = peer.client().bidi(&Context::background()).await.unwrap();
    let (sender, mut receiver) = {
        assert_eq!(stream.trailer(), None);
        stream.send(&req("", -1)).await.unwrap();
        assert!(interrupted_header(&mut stream).await.is_ok());
        assert_eq!(soon(stream.recv()).await.unwrap().unwrap().seq, Some(-1));
        stream.split()
    };
    let sending = tokio::spawn(async move {
        for seq in 0..MESSAGES {
            let message = crate::fixture::Req { seq: Some(seq), ..large(20_000) };
            soon(async {
                loop {
                    tokio::select! {
                        biased;
                        sent = sender.send(&message) => return sent,
                        () = tokio::task::yield_now() => {}
                    }
                }
            })
            .await
            .unwrap();
        }
        sender.close_send();
    });
    for seq in 0..MESSAGES {
        let got = soon(async {
            loop {
                tokio::select! {
                    biased;
                    got = receive(&mut receiver, seq) => return got,
                    () = tokio::time::sleep(Duration::from_micros(200)) => {}
                }
            }
        });
        assert_eq!(got.await.unwrap().unwrap().seq, Some(seq));
    }
    assert_eq!(soon(receiver.recv()).await.unwrap(), None);
    soon(sending).await.unwrap();
    assert_eq!(reported.next().await, "done");
}

/// Receives by `recv`, or through the `Stream` that the receiver is too.
async fn receive(
    receiver: &mut kitex::MessageReceiver<crate::fixture::Resp>,
    seq: i64,
) -> Result<Option<crate::fixture::Resp>, Error> {
    match seq % 2 {
        0 => receiver.recv().await,
        _ => futures_util::StreamExt::next(receiver).await.transpose(),
    }
}

type Bidi = kitex::BidiStreamingServer<crate::fixture::Req, crate::fixture::Resp>;
type BidiClient = kitex::BidiStreamingClient<crate::fixture::Req, crate::fixture::Resp>;

async fn interrupted_recv(stream: &mut Bidi) -> Result<Option<crate::fixture::Req>, Error> {
    loop {
        tokio::select! {
            biased;
            got = stream.recv() => return got,
            () = tokio::time::sleep(Duration::from_micros(100)) => {}
        }
    }
}

async fn interrupted_header(stream: &mut BidiClient) -> Result<kitex::Metadata, Error> {
    soon(async {
        loop {
            tokio::select! {
                biased;
                header = stream.header() => return header,
                () = tokio::time::sleep(Duration::from_micros(100)) => {}
            }
        }
    })
    .await
}

/// The response arrives long before the end, as from a handler that continues after sending it.
#[tokio::test]
async fn cancel_safe_close_and_recv_keeps_the_response() {
    if of_ttheader_alone("frames by hand") {
        return;
    }
    use ttheader_codec::FrameType::{Data, Header, Trailer};
    for fails in [false, true] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let client = EchoClient::new(builder(&address).build().unwrap());
        let mut up = client.up(&Context::background()).await.unwrap();
        let mut wire = crate::fixture::Wire::accept(&listener).await;
        assert!(polled(1, up.close_and_recv()).await.is_none());
        wire.next_of(Trailer).await;
        assert!(polled(1, up.close_and_recv()).await.is_none());
        let mut message = kitex::bytes::BytesMut::new();
        resp("count", 7).encode(&mut message).unwrap();
        wire.frame_of(1, "Up", Header, &[], b"").await;
        wire.frame_of(1, "Up", Data, &[], &message).await;
        // Until the response has arrived, and a little longer.
        for _ in 0..20 {
            assert!(polled(1, up.close_and_recv()).await.is_none());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let failed = kitex::ApplicationException::new(6, "failed after its response").encode("Up", 1);
        wire.frame_of(1, "Up", Trailer, &[], if fails { &failed } else { b"" }).await;
        let end = soon(async {
            loop {
                tokio::select! {
                    biased;
                    end = up.close_and_recv() => return end,
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            }
        })
        .await;
        match fails {
            false => assert_eq!(end.unwrap().seq, Some(7)),
            true => assert_eq!(ended(&end), "12001 client"),
        }
    }
}

const POOLS: [PoolKind; 3] = [PoolKind::Mux(1), PoolKind::long(), PoolKind::Short];

/// Openings and calls, dropped at each await, including that of the dial.
#[tokio::test]
async fn drop_of_openings_and_calls_leaves_nothing() {
    for pool in POOLS {
        let peer = Peer::start(Handlers::default()).await;
        let port: u16 = peer.address.rsplit(':').next().unwrap().parse().unwrap();
        for times in 0..12 {
            // A new client each time, so that the dial is one of the awaits; and a client that has dialed.
            for warm in [false, true] {
                let client = peer.client_with(|client| client.pool(pool));
                let ctx = Context::background();
                if warm {
                    assert!(soon(client.ping(&ctx, req("", 0))).await.is_ok());
                    assert!(soon(client.unary(&ctx, req("", 0))).await.is_ok());
                }
                drop(polled(times, client.bidi(&ctx)).await);
                drop(polled(times, client.up(&ctx)).await);
                drop(polled(times, client.down(&ctx, req("", 5))).await);
                drop(polled(times, client.unary(&ctx, req("", 5))).await);
                drop(polled(times, client.ping(&ctx, req("", 5))).await);
                drop(polled(times, client.note(&ctx, req("", 5))).await);
                let pong = soon(client.ping(&ctx, req("", 7))).await.unwrap();
                assert_eq!(pong.seq, Some(7), "{pool:?} {times}: not the response to another call");
                let mut bidi = soon(client.bidi(&ctx)).await.unwrap();
                soon(bidi.send(&req("", 8))).await.unwrap();
                assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(8), "{pool:?} {times}");
            }
        }
        until(|| {
            let mut streams = kitex::observe::streams().into_iter();
            let ours = |address: String| address.ends_with(&format!(":{port}"));
            !streams.any(|view| match view.info.side {
                Side::Server => ours(view.info.local.to_string()),
                Side::Client => ours(view.info.peer.to_string()),
            })
        })
        .await;
    }
}

#[tokio::test]
async fn cancel_safe_waits_of_a_context() {
    let (ctx, canceler) = Context::background().with_cancel();
    let ctx = ctx.with_timeout(Duration::from_secs(3600));
    assert!(polled(1, ctx.canceled()).await.is_none());
    let (go, gone) = watch::channel(0);
    let counted = || {
        let (ctx, mut gone) = (ctx.clone(), gone.clone());
        async move { ctx.until_canceled(gone.wait_for(|gone| *gone == 1)).await.map(|_| ()) }
    };
    assert!(polled(1, counted()).await.is_none());
    go.send(1).unwrap();
    assert!(interrupted(counted).await.is_ok());
    canceler.cancel();
    assert!(interrupted(|| ctx.canceled()).await.to_string().contains("canceled"));
    assert!(ctx.until_canceled(std::future::pending::<()>()).await.is_err());
}

#[tokio::test]
async fn cancel_safe_close_of_a_client() {
    let peer = Peer::start(Handlers::default()).await;
    for times in 0..5 {
        let client = peer.client();
        let (ctx, canceler) = Context::background().with_cancel();
        let mut bidi = client.bidi(&ctx).await.unwrap();
        canceler.cancel();
        assert!(soon(bidi.recv()).await.is_err());
        drop(bidi);
        let raw: &kitex::Client = client.as_ref();
        let _ = polled(times, raw.close()).await;
        soon(interrupted(|| raw.close())).await;
        assert!(
            soon(client.unary(&Context::background(), req("", 0))).await.is_ok(),
            "later calls dial again"
        );
    }
}

#[tokio::test]
async fn drop_of_a_server_leaves_its_connections() {
    let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default()));
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let client = EchoClient::new(builder(&server.local_addr().to_string()).build().unwrap());
    let serving = tokio::spawn(server.serve());
    let mut bidi = client.bidi(&Context::background()).await.unwrap();
    bidi.send(&req("", 1)).await.unwrap();
    assert!(soon(bidi.recv()).await.unwrap().is_some());
    serving.abort();
    let _ = serving.await;
    bidi.send(&req("", 2)).await.unwrap();
    assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(2));
}
