//! `ThreadPerCore`: connections are given to the threads in turn, the tasks of a connection stay on its thread, and a thread
//! completes its tasks.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::thread;

use futures_util::future::join_all;
use kitex::client::PoolKind;
use kitex::{Context, ThreadPerCore};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::watch;

use crate::fixture::chain::{client as client_of, idle, relay};
use crate::fixture::of_ttheader_alone;
use crate::fixture::{EchoClient, Handlers, Peer, reports, req, resp, soon, until};

fn cores(count: usize) -> ThreadPerCore {
    ThreadPerCore::start(count).expect("the system has threads")
}

fn this_thread() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Handlers whose only response has their thread and their connection: `seq` is the port of the client's end.
fn tells_thread() -> Handlers {
    Handlers::default().bidi(|ctx, mut stream| async move {
        let port = ctx.peer().map_or(0, |peer| i64::from(peer.socket_addr().unwrap().port()));
        stream.send(&resp(&this_thread(), port)).await?;
        while stream.recv().await?.is_some() {}
        Ok(())
    })
}

/// The thread and the connection of the handler of a new stream.
async fn place(client: &EchoClient) -> (String, i64) {
    let mut stream = client.bidi(&Context::background()).await.unwrap();
    let answer = soon(stream.recv()).await.unwrap().unwrap();
    stream.close_send();
    assert_eq!(soon(stream.recv()).await.unwrap(), None);
    (answer.msg.unwrap().to_string(), answer.seq.unwrap())
}

#[tokio::test]
async fn cores_get_connections_in_turn_and_handlers_stay_there() {
    let peer = Peer::with(tells_thread(), |server| server.cores(cores(2))).await;
    // One connection per stream, one after the other.
    let client = peer.client_with(|client| client.pool(PoolKind::Short));
    let mut threads = Vec::new();
    for _ in 0..6 {
        threads.push(place(&client).await.0);
    }
    assert_eq!(threads, ["core-0", "core-1"].repeat(3));
    // One connection for all streams.
    let client = peer.client();
    let mut places = BTreeSet::new();
    for _ in 0..6 {
        places.insert(place(&client).await);
    }
    assert_eq!(places.len(), 1);
    peer.shut_down().await;
}

#[tokio::test]
async fn cores_of_a_client_have_a_connection_each() {
    let (peer, cores) = (Peer::start(tells_thread()).await, cores(2));
    let client = peer.client_with(|client| client.pool(PoolKind::Mux(2)));
    // Both at once: a dial that takes long beside an open connection is not waited for.
    let ctx = Context::background();
    soon(join_all([client.bidi(&ctx), client.bidi(&ctx)])).await;
    until(|| client.as_ref().pool_stats().connections == 2).await;
    let mut places = BTreeSet::new();
    for _ in 0..8 {
        let client = client.clone();
        let opened = cores.spawn(async move { (this_thread(), place(&client).await.1) });
        places.insert(soon(opened).await.unwrap());
    }
    let (threads, ports): (BTreeSet<_>, BTreeSet<_>) = places.iter().cloned().unzip();
    assert_eq!((places.len(), threads.len(), ports.len()), (2, 2, 2), "{places:?}");
}

#[tokio::test]
async fn cores_pass_a_cancel_on_to_each_other() {
    let (reporter, mut reported) = reports();
    let c = Peer::named("ServiceC", idle(reporter.clone()), |server| server.cores(cores(2))).await;
    let next = client_of("ServiceC", &c.address);
    let b = Peer::named("ServiceB", relay(next, reporter), |server| server.cores(cores(2))).await;
    for _ in 0..4 {
        let client = b.client_with(|client| client.pool(PoolKind::Short));
        let (ctx, canceler) = Context::background().with_cancel();
        let mut stream = client.down(&ctx, req("", 0)).await.unwrap();
        soon(stream.recv()).await.unwrap().unwrap();
        canceler.cancel();
        let mut parts = [reported.next().await, reported.next().await];
        parts.sort();
        let expected =
            [("ServiceB", "12007 client ServiceA"), ("ServiceC", "12007 server ServiceA -> ServiceB")];
        assert_eq!(parts.each_ref().map(|(who, how)| (&**who, &**how)), expected);
    }
}

#[tokio::test]
async fn cores_wait_for_spawned_tasks_at_shutdown() {
    let (go, gone) = watch::channel(false);
    let (reporter, mut reported) = reports();
    let handlers = Handlers::default().bidi(move |_, _| {
        let (mut gone, reporter) = (gone.clone(), reporter.clone());
        async move {
            tokio::spawn(async move {
                gone.wait_for(|gone| *gone).await.unwrap();
                reporter.send(this_thread());
            });
            Ok(())
        }
    });
    let peer = Peer::with(handlers, |server| server.cores(cores(1))).await;
    let mut stream = peer.client().bidi(&Context::background()).await.unwrap();
    assert_eq!(soon(stream.recv()).await.unwrap(), None);
    peer.shut_down().await;
    go.send_replace(true);
    assert_eq!(reported.next().await, "core-0");
}

thread_local! {
    /// Dropped as the thread ends.
    static LAST: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
}

/// The idle socket of a ping-pong call must not end with the thread that dialed it.
#[tokio::test]
async fn cores_that_have_ended_leave_no_connection_to_calls() {
    if of_ttheader_alone("a connection has a task, for which its thread waits") {
        return;
    }
    let peer = Peer::start(Handlers::default().unary(|_, _| async { Ok(resp(&this_thread(), 0)) })).await;
    let (client, cores) = (peer.client(), cores(1));
    let (gone, mut ended) = channel::<()>(1);
    let call = {
        let client = client.clone();
        async move {
            LAST.set(Some(gone));
            client.unary(&Context::background(), req("", 0)).await.unwrap();
        }
    };
    soon(cores.spawn(call)).await.unwrap();
    drop(cores);
    assert_eq!(soon(ended.recv()).await, None);
    soon(client.unary(&Context::background(), req("", 0))).await.unwrap();
}
