//! Graceful shutdown: what runs may end in its time and loses nothing, what is new is refused, what is left
//! is told why; then the connections are closed and nobody listens any more.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use kitex::server::OnCancel;
use kitex::{Context, Error, Server};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use ttheader_codec::FrameType::{Data, Header, Rst};
use ttheader_codec::key;

use crate::fixture::chain::{client as client_of, idle, relay};
use crate::fixture::echo::EchoServer;
use crate::fixture::{
    EchoClient, Handlers, Nobody, Peer, Wire, brief, builder, ended, reports, req, resp, soon, until,
};

/// So long that a test which waited for it would fail.
const NEVER: Duration = Duration::from_secs(3600);
/// So short that streams which run for ever need not be waited for.
const SHORT: Duration = Duration::from_millis(50);

/// A server with this exit wait, on an address that nobody else gets as long as the second lives.
async fn serve(handlers: Handlers, wait: Duration) -> (Peer, Nobody) {
    let nobody = Nobody::new();
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers)).exit_wait(wait);
    (Peer::bind(server, &nobody.address).await, nobody)
}

/// Waits until a stream that is opened on a connection which stands is refused.
async fn refused(client: &EchoClient) {
    soon(async {
        loop {
            let mut up = client.up(&Context::background()).await.unwrap();
            match &*ended(&up.close_and_recv().await) {
                "12903 client" => return,
                "ok" => tokio::task::yield_now().await,
                other => panic!("{other}"),
            }
        }
    })
    .await;
}

async fn check_nobody_listens(address: &str) {
    let dialed = soon(TcpStream::connect(address)).await;
    assert_eq!(dialed.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let client = EchoClient::new(builder(address).build().unwrap());
    assert_eq!(ended(&soon(client.bidi(&Context::background())).await), "connect");
}

#[tokio::test]
async fn a_server_on_which_nothing_runs_is_down_at_once() {
    let (peer, nobody) = serve(Handlers::default(), NEVER).await;
    peer.shut_down().await;
    check_nobody_listens(&nobody.address).await;

    let (peer, nobody) = serve(Handlers::default(), NEVER).await;
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
    check_nobody_listens(&nobody.address).await;
}

/// It is not waited for, and not served behind the shutdown either.
#[tokio::test]
async fn who_has_not_spoken_yet_is_sent_away() {
    let (peer, _nobody) = serve(Handlers::default(), NEVER).await;
    let (mut silent, mut half) = (Wire::dial(&peer.address).await, Wire::dial(&peer.address).await);
    half.bytes(&[0, 0, 0, 86, 0x10, 0, 0]).await;
    // The listener has taken them when it has taken the next.
    let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
    bidi.close_send();
    soon(bidi.recv()).await.unwrap();
    peer.shut_down().await;
    assert!(silent.is_closed_by_peer().await && half.is_closed_by_peer().await);
}

#[tokio::test]
async fn what_runs_may_end_in_its_time_and_loses_nothing() {
    let (go, gone) = watch::channel(false);
    let (tell, mut told) = reports();
    let (of_call, told_of_call) = (gone.clone(), tell.clone());
    let handlers = Handlers::default()
        .down(move |_, req, stream| {
            let (mut gone, tell) = (gone.clone(), tell.clone());
            async move {
                tell.tell("begun");
                gone.wait_for(|gone| *gone).await.unwrap();
                for seq in 0..req.seq.unwrap_or_default() {
                    stream.send(&resp("", seq)).await?;
                }
                Ok(())
            }
        })
        .unary(move |_, req| {
            let (mut gone, tell) = (of_call.clone(), told_of_call.clone());
            async move {
                tell.tell("begun");
                gone.wait_for(|gone| *gone).await.unwrap();
                Ok(crate::fixture::answer(req))
            }
        });
    let (peer, nobody) = serve(handlers, NEVER).await;
    let client = peer.raw_client(|client| client);
    let (echo, ctx) = (EchoClient::new(client.clone()), Context::background());
    let mut bidi = echo.bidi(&ctx).await.unwrap();
    let mut up = echo.up(&ctx).await.unwrap();
    let mut down = echo.down(&ctx, req("", 1000)).await.unwrap();
    let calling = echo.clone();
    let call = tokio::spawn(async move { calling.unary(&Context::background(), req("", 5)).await });
    assert_eq!([told.next().await, told.next().await], ["begun"; 2]);

    let stopped = peer.stop();
    refused(&echo).await;
    check_nobody_listens(&nobody.address).await;
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
async fn what_is_left_is_told_who_ended_it() {
    let (tell, mut told) = reports();
    let (of_bidi, of_call) = (tell.clone(), tell.clone());
    let handlers = idle(tell)
        .bidi(move |_, mut stream| {
            let tell = of_bidi.clone();
            async move {
                stream.send(&resp("begun", 0)).await?;
                let error = stream.recv().await.unwrap_err();
                tell.tell(("bidi".to_owned(), brief(&error)));
                Err(error)
            }
        })
        .unary(move |ctx, _| {
            let tell = of_call.clone();
            async move {
                tell.tell(("call".to_owned(), "begun".to_owned()));
                let error = Error::from(ctx.canceled().await);
                tell.tell(("call".to_owned(), brief(&error)));
                Err(error)
            }
        });
    let (peer, nobody) = serve(handlers, SHORT).await;
    let (client, ctx) = (peer.client(), Context::background());
    let mut wire = Wire::dial(&peer.address).await;
    wire.frame_of(1, "Bidi", Header, &[(key::IDL_SERVICE, b"Echo")], b"").await;
    wire.next_of(Data).await;
    let mut down = client.down(&ctx, req("", 0)).await.unwrap();
    let mut bidi = client.bidi(&ctx).await.unwrap();
    soon(bidi.recv()).await.unwrap();
    let calling = client.clone();
    let call = tokio::spawn(async move { calling.unary(&Context::background(), req("", 0)).await });
    assert_eq!(told.next().await.1, "begun");

    let stopped = peer.stop();
    assert_eq!(ended(&soon(bidi.recv()).await), "12013 client ServiceB");
    assert!(soon(down.recv()).await.unwrap().is_some(), "what had come is there");
    assert_eq!(ended(&soon(down.recv()).await), "12013 client ServiceB");
    let text = "remote biz error: [ttstream error, code=12013] canceled by connection closed";
    assert_eq!(ended(&soon(call).await.unwrap()), text);
    let rst = wire.next().await.expect("a word before the end");
    assert_eq!((rst.kind, rst.error().0), (Some(Rst), 12013));
    assert_eq!(rst.string(key::CANCEL_PATH).unwrap(), "ServiceB");
    assert_eq!(wire.next().await.map(|seen| seen.kind), None, "nothing behind it but the end");
    let mut parts = [told.next().await, told.next().await, told.next().await, told.next().await];
    parts.sort();
    let names = ["ServiceB", "bidi", "bidi", "call"];
    assert_eq!(parts, names.map(|name| (name.to_owned(), "12013 nowhere".to_owned())));
    soon(stopped).await.unwrap();
    check_nobody_listens(&nobody.address).await;
}

#[tokio::test]
async fn a_service_in_the_middle_empties_the_chain_below_it() {
    let (tell, mut told) = reports();
    let c = Peer::named("ServiceC", idle(tell.clone()), |server| server).await;
    let handlers = relay(client_of("ServiceC", &c.address), tell);
    let b = Peer::with(handlers, |server| server.exit_wait(SHORT)).await;
    let mut down = b.client().down(&Context::background(), req("", 0)).await.unwrap();
    soon(down.recv()).await.unwrap();
    let stopped = b.stop();
    assert_eq!(ended(&soon(down.recv()).await), "12013 client ServiceB");
    let mut parts = [told.next().await, told.next().await];
    parts.sort();
    let words = [("ServiceB", "12013 client"), ("ServiceC", "12013 server ServiceB")];
    assert_eq!(parts, words.map(|(name, end)| (name.to_owned(), end.to_owned())));
    soon(stopped).await.unwrap();
}

/// Some listen to nobody: the server goes all the same.
#[tokio::test]
async fn a_handler_that_never_returns_holds_no_shutdown_up() {
    let (tell, mut told) = reports();
    let handlers = Handlers::default().bidi(move |_, _stream| {
        tell.tell("begun");
        std::future::pending()
    });
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers));
    let peer = Peer::bind(server.exit_wait(SHORT).on_cancel(OnCancel::Notify), "127.0.0.1:0").await;
    let mut bidi = peer.client().bidi(&Context::background()).await.unwrap();
    assert_eq!(told.next().await, "begun");
    let stopped = peer.stop();
    assert_eq!(ended(&soon(bidi.recv()).await), "12013 client ServiceB");
    soon(stopped).await.unwrap();
}

const MANY: usize = 200;

/// Streams that send as fast as they can, on four connections: whoever has had enough when it hears of the
/// shutdown ends in time, and each of its messages arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_busy_streams_end_in_time_or_are_told() {
    for (wait, expected) in [(NEVER, "ok"), (SHORT, "12013 client ServiceB")] {
        let (tell, mut told) = reports();
        let (go, gone) = watch::channel(false);
        let (enough, had_enough) = watch::channel(false);
        let handlers = Handlers::default().down(move |_, _, stream| {
            let (tell, mut gone, enough) = (tell.clone(), gone.clone(), had_enough.clone());
            async move {
                stream.send(&resp("", 0)).await?;
                gone.wait_for(|gone| *gone).await.unwrap();
                let mut seq = 1;
                while !*enough.borrow() {
                    stream.send(&resp("", seq)).await.inspect_err(|error| tell.tell((0, brief(error))))?;
                    seq += 1;
                }
                tell.tell((seq, "ok".to_owned()));
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
                        end => return (next, ended(&end)),
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
            let (messages, end) = soon(stream).await.unwrap();
            assert_eq!(end, expected);
            received += messages;
        }
        for _ in 0..MANY {
            let (messages, end) = told.next().await;
            assert_eq!(end, if wait == NEVER { "ok" } else { "12013 nowhere" });
            sent += messages;
        }
        assert!(wait == SHORT || received == sent, "{received} of {sent} messages came");
        soon(stopped).await.unwrap();
    }
}

/// Set for the process that [`a_process_that_is_told_to_end_drains_first`] starts.
const CHILD: &str = "KITEX_SHUTDOWN_CHILD";

/// What that process runs; in any other it has nothing to do.
#[tokio::test]
async fn serves_until_it_is_told_to_end() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::builder("ServiceB").service(EchoServer::new(Handlers::default())).exit_wait(NEVER);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    println!("\nlistens on {}", server.local_addr());
    server.run().await.unwrap();
    if env::var_os(CHILD).is_some_and(|value| value == "stays") {
        std::future::pending::<()>().await;
    }
}

/// The process, and its address.
async fn start() -> (Child, String) {
    start_as("ends").await
}

async fn start_as(what: &str) -> (Child, String) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "shutdown::serves_until_it_is_told_to_end", "--nocapture"])
        .env(CHILD, what)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = soon(lines.next_line()).await.unwrap().expect("a child that serves");
        if let Some(address) = line.strip_prefix("listens on ") {
            break address.to_owned();
        }
    };
    // Reads on, so that what the harness has to say finds room.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_that_is_told_to_end_drains_first() {
    for signal in ["TERM", "INT"] {
        let (mut child, address) = start().await;
        let client = EchoClient::new(builder(&address).build().unwrap());
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        bidi.send(&req("", 0)).await.unwrap();
        soon(bidi.recv()).await.unwrap().unwrap();
        let kill = format!("kill -{signal} {}", child.id().unwrap());
        assert!(soon(Command::new("sh").args(["-c", &kill]).status()).await.unwrap().success());
        refused(&client).await;
        for seq in 0..10 {
            bidi.send(&req("", seq)).await.unwrap();
            assert_eq!(soon(bidi.recv()).await.unwrap().unwrap().seq, Some(seq), "{signal}");
        }
        assert!(child.try_wait().unwrap().is_none(), "{signal}: a stream still runs");
        bidi.close_send();
        assert_eq!(soon(bidi.recv()).await.unwrap(), None, "{signal}");
        let status = soon(child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

#[cfg(unix)]
async fn kill(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id().unwrap());
    assert!(soon(Command::new("sh").args(["-c", &kill]).status()).await.unwrap().success());
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_what_is_left_at_once() {
    for signals in [["TERM", "TERM"], ["INT", "TERM"], ["INT", "INT"]] {
        let (mut child, address) = start().await;
        let client = EchoClient::new(builder(&address).build().unwrap());
        let mut bidi = client.bidi(&Context::background()).await.unwrap();
        bidi.send(&req("", 0)).await.unwrap();
        soon(bidi.recv()).await.unwrap().unwrap();
        kill(&child, signals[0]).await;
        refused(&client).await;
        assert!(child.try_wait().unwrap().is_none(), "{signals:?}: a stream still runs");
        kill(&child, signals[1]).await;
        assert_eq!(ended(&soon(bidi.recv()).await), "12013 client ServiceB", "{signals:?}");
        let status = soon(child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{signals:?}: {status}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_after_run_has_returned_ends_the_process() {
    let (mut child, address) = start_as("stays").await;
    kill(&child, "INT").await;
    until_nobody_listens(&address).await;
    let status = soon(async {
        loop {
            kill(&child, "INT").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
        }
    });
    assert_eq!(status.await.code(), Some(130));
}

#[cfg(unix)]
async fn until_nobody_listens(address: &str) {
    soon(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}
