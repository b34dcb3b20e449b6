//! Work that a handler completes after a cancel is also completed at a graceful shutdown: within its `OnCancel` time, or in
//! a spawned task. A task that never ends does not block the shutdown.

use std::time::Duration;

use kitex::server::OnCancel;
use kitex::{Context, Error, Server, ThreadPerCore};

use crate::fixture::echo::EchoServer;
use crate::fixture::{Handlers, Peer, Proxy, Reporter, builder, reports, req, resp, soon};

/// Longer than the time that a shutdown has for writing what is queued.
const SAVING: Duration = Duration::from_millis(1500);
/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(3600);
/// Streams that never end are canceled after this.
const SHORT: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
enum How {
    /// In the handler itself, after it was canceled.
    Handler,
    /// In a task that the handler spawns when it is canceled.
    Detached,
    /// In a task of a task.
    DetachedTwice,
    /// In a task that the handler spawned before the shutdown.
    Before,
    /// In a blocking task that it spawned when it was canceled, and waits for in a task.
    Blocking,
}

async fn save(reporter: Reporter<&'static str>) {
    reporter.send("begun");
    tokio::time::sleep(SAVING).await;
    reporter.send("saved");
}

async fn serve_call(how: How, ctx: Context, reporter: Reporter<&'static str>) -> Error {
    let save = save(reporter.clone());
    if matches!(how, How::Before) {
        ctx.detach().spawn(save);
        return Error::other("done");
    }
    reporter.send("runs");
    let error = Error::from(ctx.canceled().await);
    match how {
        How::Handler => save.await,
        How::Detached => drop(ctx.detach().spawn(save)),
        How::DetachedTwice | How::Before => {
            let detached = ctx.detach();
            let outer = detached.clone();
            outer.spawn(async move { drop(detached.spawn(save)) });
        }
        How::Blocking => {
            reporter.send("begun");
            let runtime = tokio::runtime::Handle::current();
            let saved = move || {
                runtime.block_on(tokio::time::sleep(SAVING));
                reporter.send("saved");
            };
            let task = tokio::task::spawn_blocking(saved);
            ctx.detach().spawn(async move { task.await.expect("it saves") });
        }
    }
    error
}

fn handlers(how: How, reporter: &Reporter<&'static str>) -> Handlers {
    let (of_down, of_ping, of_note) = (reporter.clone(), reporter.clone(), reporter.clone());
    Handlers::default()
        .down(move |ctx, _, stream| {
            let reporter = of_down.clone();
            async move {
                stream.send(&resp("", 0)).await?;
                Err(serve_call(how, ctx, reporter).await)
            }
        })
        .unary(move |ctx, _| {
            let reporter = of_ping.clone();
            async move { Err(serve_call(how, ctx, reporter).await) }
        })
        .note(move |ctx, _| {
            let reporter = of_note.clone();
            async move { Err(serve_call(how, ctx, reporter).await) }
        })
}

#[tokio::test]
async fn graceful_shutdown_waits_for_spawned_tasks_and_on_cancel() {
    let grace = OnCancel::NotifyThenDrop(NEVER);
    let at_once = OnCancel::NotifyThenDrop(Duration::ZERO);
    let rows = [
        (How::Handler, grace, SHORT),
        (How::Detached, grace, SHORT),
        (How::DetachedTwice, grace, SHORT),
        (How::Detached, at_once, 2 * SAVING),
        (How::Before, at_once, NEVER),
        (How::Blocking, at_once, 2 * SAVING),
        // It has no time of its own: it gets what it had before the cancel.
        (How::Handler, OnCancel::Notify, 2 * SAVING),
    ];
    let on_threads = [false, true].into_iter().flat_map(|threads| rows.map(|row| (threads, row)));
    let tries = on_threads.map(|(threads, (how, policy, wait))| async move {
        let (reporter, mut reported) = reports();
        let server = Server::builder("ServiceB").service(EchoServer::new(handlers(how, &reporter)));
        let server = server.on_cancel(policy).exit_wait(wait);
        let server = match threads {
            true => server.cores(ThreadPerCore::start(1).expect("the system has threads")),
            false => server,
        };
        let peer = Peer::bind(server, "127.0.0.1:0").await;
        let client = crate::fixture::EchoClient::new(builder(&peer.address).build().unwrap());
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some());
        reported.next().await;
        let other = client.clone();
        let call =
            tokio::spawn(async move { other.unary(&Context::background(), req("", 0)).await.map(drop) });
        reported.next().await;
        client.note(&Context::background(), req("", 0)).await.unwrap();
        reported.next().await;
        soon(peer.stop()).await.unwrap();
        let saved = reported.waiting().into_iter().filter(|word| *word == "saved").count();
        assert_eq!(saved, 3, "{how:?}, {policy:?}, {wait:?}, threads: {threads}");
        assert!(soon(call).await.unwrap().is_err());
    });
    futures_util::future::join_all(tries).await;
}

/// The client is gone before the shutdown begins: it has canceled its stream and closed its connection, or the connection
/// was lost, under a stream and under a call.
#[tokio::test]
async fn graceful_shutdown_waits_for_a_handler_whose_client_has_gone() {
    for (policy, lost) in [OnCancel::Notify, OnCancel::NotifyThenDrop(NEVER)]
        .into_iter()
        .flat_map(|policy| [(policy, false), (policy, true)])
    {
        let (reporter, mut reported) = reports();
        let server = Server::builder("ServiceB")
            .service(EchoServer::new(handlers(How::Handler, &reporter)))
            .on_cancel(policy);
        let peer = Peer::bind(server, "127.0.0.1:0").await;
        let proxy = Proxy::to(&peer.address).await;
        let client = crate::fixture::EchoClient::new(builder(&proxy.address).build().unwrap());
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some());
        let other = client.clone();
        let call =
            tokio::spawn(async move { other.unary(&Context::background(), req("", 0)).await.map(drop) });
        assert_eq!([reported.next().await, reported.next().await], ["runs"; 2]);
        match lost {
            true => proxy.cut(),
            false => {
                call.abort();
                drop(down);
                client.close().await;
            }
        }
        assert_eq!([reported.next().await, reported.next().await], ["begun"; 2]);
        peer.shut_down().await;
        assert_eq!(reported.waiting(), ["saved"; 2], "{policy:?}, lost: {lost}");
    }
}

#[tokio::test]
async fn graceful_shutdown_does_not_wait_for_ever_for_a_task() {
    let handlers = Handlers::default().down(|ctx, _, stream| async move {
        ctx.detach().spawn(std::future::pending::<()>());
        stream.send(&resp("", 0)).await
    });
    let server = Server::builder("ServiceB").service(EchoServer::new(handlers)).exit_wait(SHORT);
    let peer = Peer::bind(server, "127.0.0.1:0").await;
    let mut down = peer.client().down(&Context::background(), req("", 0)).await.unwrap();
    assert!(soon(down.recv()).await.unwrap().is_some());
    peer.shut_down().await;
}
