//! Graceful shutdown: running streams may end in time and lose nothing, new ones are refused, late ones are canceled; then
//! connections and listener are closed.

use std::time::Duration;

use kitex::server::{OnCancel, SocketConfig};
use kitex::{Context, Error, Server};
use tokio::net::TcpStream;
use tokio::sync::watch;
use ttheader_codec::FrameType::{Data, Header, Rst};
use ttheader_codec::key;

use crate::fixture::by;
use crate::fixture::chain::{client as client_of, idle, relay};
use crate::fixture::echo::EchoServer;
use crate::fixture::{
    EchoClient, Handlers, Peer, Refusing, Wire, brief, builder, ended, reports, req, resp, soon, until,
};

/// Long enough that a test that waited for it would fail.
const NEVER: Duration = Duration::from_secs(3600);
/// Short, for streams that never end.
const SHORT: Duration = Duration::from_millis(50);

/// A server with this exit wait, on an address that is reserved as long as the second value lives.
async fn serve(handlers: Handlers, wait: Duration) -> (Peer, Refusing) {
    let refusing = Refusing::new();
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers)).exit_wait(wait);
    // On a busy machine a client may read nothing for long.
    let server = server.socket(SocketConfig::default().write_timeout(NEVER));
    (Peer::bind(server, &refusing.address).await, refusing)
}

/// Waits until no stream can be opened any more. Those that are opened before that are served.
pub(crate) async fn refused(client: &EchoClient) {
    soon(async {
        loop {
            let result = match client.up(&Context::background()).await {
                Ok(mut up) => up.close_and_recv().await.map(drop),
                Err(error) => Err(error),
            };
            match &*ended(&result) {
                // The last: it queued at a listener that was closed.
                "12903 client" | "connect" | "12006 client" => return,
                // It was on its way when the server said so.
                "grpc 14" if by(false, true) => tokio::task::yield_now().await,
                "ok" => tokio::task::yield_now().await,
                _ => panic!("{result:?}"),
            }
        }
    })
    .await;
}

async fn check_nobody_listens(address: &str) {
    // Streams are refused before connections are.
    let dialed = soon(async {
        loop {
            match TcpStream::connect(address).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => return error,
            }
        }
    });
    assert_eq!(dialed.await.kind(), std::io::ErrorKind::ConnectionRefused);
    let client = EchoClient::new(builder(address).build().unwrap());
    assert_eq!(ended(&soon(client.bidi(&Context::background())).await), "connect");
}

#[tokio::test]
async fn graceful_shutdown_of_an_idle_server_returns_at_once() {
    let (peer, refusing) = serve(Handlers::default(), NEVER).await;
    peer.shut_down().await;
    check_nobody_listens(&refusing.address).await;

    let (peer, refusing) = serve(Handlers::default(), NEVER).await;
    let client = peer.raw_client(|client| client);
    let echo = EchoClient::new(client.clone());
    let ctx = Context::background();
    soon(echo.unary(&ctx, req("", 0))).await.unwrap();
    let mut bidi = echo.bidi(&ctx).await.unwrap();
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    drop(echo.bidi(&ctx).await.unwrap());
    assert!(client.pool_stats().connections > 0, "the connections stand");
    peer.shut_down().await;
    until(|| client.pool_stats().connections == 0).await;
    check_nobody_listens(&refusing.address).await;
}

/// It is neither waited for nor served after the shutdown.
#[tokio::test]
async fn graceful_shutdown_closes_connections_without_a_preface() {
    let (peer, _nobody) = serve(Handlers::default(), NEVER).await;
    let (mut silent, mut half) = (Wire::dial(&peer.address).await, Wire::dial(&peer.address).await);
    half.bytes(&[0, 0, 0, 86, 0x10, 0, 0]).await;
    // The listener has accepted them once it has accepted the next.
    let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
    bidi.close_send();
    soon(bidi.recv()).await.unwrap();
    peer.shut_down().await;
    assert!(silent.is_closed_by_peer().await && half.is_closed_by_peer().await);
}

#[tokio::test]
async fn graceful_shutdown_lets_streams_end_within_exit_wait() {
    let (go, gone) = watch::channel(false);
    let (reporter, mut reported) = reports();
    let (of_call, call_reporter) = (gone.clone(), reporter.clone());
    let handlers = Handlers::default()
        .down(move |_, req, stream| {
            let (mut gone, reporter) = (gone.clone(), reporter.clone());
            async move {
                reporter.send("begun");
                gone.wait_for(|gone| *gone).await.unwrap();
                for seq in 0..req.seq.unwrap_or_default() {
                    stream.send(&resp("", seq)).await?;
                }
                Ok(())
            }
        })
        .unary(move |_, req| {
            let (mut gone, reporter) = (of_call.clone(), call_reporter.clone());
            async move {
                reporter.send("begun");
                gone.wait_for(|gone| *gone).await.unwrap();
                Ok(crate::fixture::answer(req))
            }
        });
    let (peer, refusing) = serve(handlers, NEVER).await;
    let client = peer.raw_client(|client| client);
    let (echo, ctx) = (EchoClient::new(client.clone()), Context::background());
    let mut bidi = echo.bidi(&ctx).await.unwrap();
    let mut up = echo.up(&ctx).await.unwrap();
    let mut down = echo.down(&ctx, req("", 1000)).await.unwrap();
    let calling = echo.clone();
    let call = tokio::spawn(async move { calling.unary(&Context::background(), req("", 5)).await });
    assert_eq!([reported.next().await, reported.next().await], ["begun"; 2]);

    let stopped = peer.stop();
    refused(&echo).await;
    check_nobody_listens(&refusing.address).await;
    for seq in 0..100 {
        up.send(&req("", seq)).await.unwrap();
        bidi.send(&req("", seq)).await.unwrap();
        assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    assert!(!stopped.is_finished(), "four still run");
    go.send_replace(true);
    bidi.close_send();
    assert_eq!(soon(bidi.recv()).await.unwrap(), None);
    assert_eq!(soon(up.close_and_recv()).await.unwrap().seq, Some(100));
    assert_eq!(soon(call).await.unwrap().unwrap().seq, Some(5));
    for seq in 0..1000 {
        assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(seq));
    }
    assert_eq!(soon(down.recv()).await.unwrap(), None);
    soon(stopped).await.unwrap();
    until(|| client.pool_stats().connections == 0).await;
}

#[tokio::test]
async fn graceful_shutdown_cancels_streams_after_exit_wait() {
    let (reporter, mut reported) = reports();
    let (of_bidi, of_call) = (reporter.clone(), reporter.clone());
    let handlers = idle(reporter)
        .bidi(move |_, mut stream| {
            let reporter = of_bidi.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                let error = stream.recv().await.unwrap_err();
                reporter.send(("bidi".to_owned(), brief(&error)));
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
    let (peer, refusing) = serve(handlers, SHORT).await;
    let (client, ctx) = (peer.client(), Context::background());
    let mut wire = Wire::dial(&peer.address).await;
    wire.frame_of(1, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
    wire.next_of(Data).await;
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    let mut bidi = client.bidi(&ctx).await.unwrap();
    soon(bidi.recv()).await.unwrap();
    let calling = client.clone();
    let call = tokio::spawn(async move { calling.unary(&Context::background(), req("", 0)).await });
    assert_eq!(reported.next().await.1, "begun");

    let stopped = peer.stop();
    assert_eq!(ended(&soon(bidi.recv()).await), "12013 client ServiceB");
    assert!(soon(down.recv()).await.unwrap().is_some(), "what had come is there");
    assert_eq!(ended(&soon(down.recv()).await), "12013 client ServiceB");
    let text = "remote biz error: [ttstream error, code=12013] canceled by connection closed";
    let by_grpc = "network rpc error: code = 14 desc = graceful shutdown";
    assert_eq!(ended(&soon(call).await.unwrap()), by(text, by_grpc));
    let notice = wire.next().await.expect("a word before the end");
    assert_eq!(
        (notice.id, notice.kind, notice.error().0),
        (0, Some(Rst), 12903),
        "open nothing here any more"
    );
    let rst = wire.next().await.expect("another one");
    assert_eq!((rst.kind, rst.error().0), (Some(Rst), 12013));
    assert_eq!(rst.string(key::CANCEL_PATH).unwrap(), "ServiceB");
    assert_eq!(wire.next().await.map(|seen| seen.kind), None, "nothing behind it but the end");
    let mut parts =
        [reported.next().await, reported.next().await, reported.next().await, reported.next().await];
    parts.sort();
    let names = ["ServiceB", "bidi", "bidi", "call"];
    assert_eq!(parts, names.map(|name| (name.to_owned(), "12013 nowhere".to_owned())));
    soon(stopped).await.unwrap();
    check_nobody_listens(&refusing.address).await;
}

#[tokio::test]
async fn graceful_shutdown_in_a_chain_cancels_everything_below() {
    let (reporter, mut reported) = reports();
    let c = Peer::named("ServiceC", idle(reporter.clone()), |server| server).await;
    let handlers = relay(client_of("ServiceC", &c.address), reporter);
    let b = Peer::with(handlers, |server| server.exit_wait(SHORT)).await;
    let mut down = b.client().down(&Context::background(), req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    let stopped = b.stop();
    assert_eq!(ended(&soon(down.recv()).await), "12013 client ServiceB");
    let mut parts = [reported.next().await, reported.next().await];
    parts.sort();
    let words = [("ServiceB", "12013 client"), ("ServiceC", "12013 server ServiceB")];
    assert_eq!(parts, words.map(|(name, end)| (name.to_owned(), end.to_owned())));
    soon(stopped).await.unwrap();
}

/// Some handlers ignore the cancel; the server still ends.
#[tokio::test]
async fn graceful_shutdown_does_not_wait_for_a_stuck_handler() {
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().bidi(move |_, _stream| {
        reporter.send("begun");
        std::future::pending()
    });
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers));
    let peer = Peer::bind(server.exit_wait(SHORT).on_cancel(OnCancel::Notify), "127.0.0.1:0").await;
    let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
    assert_eq!(reported.next().await, "begun");
    let stopped = peer.stop();
    assert_eq!(ended(&soon(bidi.recv()).await), "12013 client ServiceB");
    soon(stopped).await.unwrap();
}

const MANY: usize = 200;

/// Streams that send as fast as they can, on four connections: those that have sent enough when the shutdown begins end in
/// time, and each of their messages arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graceful_shutdown_ends_many_busy_streams() {
    for (wait, expected) in [(NEVER, "ok"), (SHORT, "12013 client ServiceB")] {
        let (reporter, mut reported) = reports();
        let (go, gone) = watch::channel(false);
        let (enough, had_enough) = watch::channel(false);
        let handlers = Handlers::default().down(move |_, _, stream| {
            let (reporter, mut gone, enough) = (reporter.clone(), gone.clone(), had_enough.clone());
            async move {
                stream.send(&resp("", 0)).await?;
                gone.wait_for(|gone| *gone).await.unwrap();
                let mut seq = 1;
                while !*enough.borrow() {
                    stream
                        .send(&resp("", seq))
                        .await
                        .inspect_err(|error| reporter.send((0, brief(error))))?;
                    seq += 1;
                }
                reporter.send((seq, "ok".to_owned()));
                Ok(())
            }
        });
        let (peer, _nobody) = serve(handlers, wait).await;
        let clients = [peer.client(), peer.client(), peer.client(), peer.client()];
        let mut streams = Vec::new();
        for client in clients.iter().cycle().take(MANY) {
            let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
            assert_eq!(soon(down.recv()).await.unwrap().unwrap().seq, Some(0));
            streams.push(tokio::spawn(async move {
                let mut next = 1;
                loop {
                    match down.recv().await {
                        Ok(Some(resp)) => assert_eq!(resp.seq, Some(next), "none is lost"),
                        end => return (next, ended(&end), end.err().map(|error| error.to_string())),
                    }
                    next += 1;
                }
            }));
        }
        go.send_replace(true);
        let stopped = peer.stop();
        if wait == NEVER {
            refused(&clients[0]).await;
            enough.send_replace(true);
        }
        let (mut received, mut sent) = (0, 0);
        for stream in streams {
            let (messages, end, text) = soon(stream).await.unwrap();
            assert_eq!(end, expected, "{text:?}");
            received += messages;
        }
        for _ in 0..MANY {
            let (messages, end) = reported.next().await;
            assert_eq!(end, if wait == NEVER { "ok" } else { "12013 nowhere" });
            sent += messages;
        }
        assert!(wait == SHORT || received == sent, "{received} of {sent} messages came");
        soon(stopped).await.unwrap();
    }
}
