//! What a handler saves after a cancel is saved when its server shuts down too: in the time of its policy, or in a
//! task that it leaves behind. And what never ends holds up no shutdown for ever.

use std::time::Duration;

use kitex::server::OnCancel;
use kitex::{Context, Error, Server};

use crate::fixture::echo::EchoServer;
use crate::fixture::{Handlers, Peer, Tell, builder, reports, req, resp, soon};

/// Longer than the time that a shutdown has for writing what is queued.
const SAVING: Duration = Duration::from_millis(1500);
/// No test waits for so long.
const NEVER: Duration = Duration::from_secs(3600);
/// Streams that run for ever are canceled after this.
const SHORT: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
enum How {
    /// In the handler itself, after it was canceled.
    Handler,
    /// In a task that the handler leaves behind when it is canceled.
    Detached,
    /// In a task of a task.
    DetachedTwice,
    /// In a task that the handler has left behind before the shutdown.
    Before,
}

async fn save(tell: Tell<&'static str>) {
    tell.tell("begun");
    tokio::time::sleep(SAVING).await;
    tell.tell("saved");
}

async fn serve_call(how: How, ctx: Context, tell: Tell<&'static str>) -> Error {
    let save = save(tell.clone());
    if matches!(how, How::Before) {
        ctx.detach().spawn(save);
        return Error::other("done");
    }
    tell.tell("runs");
    let error = Error::from(ctx.canceled().await);
    match how {
        How::Handler => save.await,
        How::Detached => drop(ctx.detach().spawn(save)),
        How::DetachedTwice | How::Before => {
            let detached = ctx.detach();
            let outer = detached.clone();
            outer.spawn(async move { drop(detached.spawn(save)) });
        }
    }
    error
}

fn handlers(how: How, tell: &Tell<&'static str>) -> Handlers {
    let (of_down, of_ping) = (tell.clone(), tell.clone());
    Handlers::default()
        .down(move |ctx, _, stream| {
            let tell = of_down.clone();
            async move {
                stream.send(&resp("", 0)).await?;
                Err(serve_call(how, ctx, tell).await)
            }
        })
        .unary(move |ctx, _| {
            let tell = of_ping.clone();
            async move { Err(serve_call(how, ctx, tell).await) }
        })
}

#[tokio::test]
async fn what_a_handler_saves_is_saved_at_shutdown_too() {
    let grace = OnCancel::NotifyThenDrop(NEVER);
    let at_once = OnCancel::NotifyThenDrop(Duration::ZERO);
    let rows = [
        (How::Handler, grace, SHORT),
        (How::Detached, grace, SHORT),
        (How::DetachedTwice, grace, SHORT),
        (How::Detached, at_once, 2 * SAVING),
        (How::Before, at_once, NEVER),
    ];
    let tries = rows.into_iter().map(|(how, policy, wait)| async move {
        let (tell, mut told) = reports();
        let server = Server::builder("ServiceB").service(EchoServer::new(handlers(how, &tell)));
        let peer = Peer::bind(server.on_cancel(policy).exit_wait(wait), "127.0.0.1:0").await;
        let client = crate::fixture::EchoClient::new(builder(&peer.address).build().unwrap());
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some());
        told.next().await;
        let other = client.clone();
        let call =
            tokio::spawn(async move { other.unary(&Context::background(), req("", 0)).await.map(drop) });
        told.next().await;
        soon(peer.stop()).await.unwrap();
        let saved = told.waiting().into_iter().filter(|word| *word == "saved").count();
        assert_eq!(saved, 2, "{how:?}, {policy:?}, {wait:?}");
        assert!(soon(call).await.unwrap().is_err());
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn a_task_that_never_ends_holds_up_no_shutdown_for_ever() {
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
