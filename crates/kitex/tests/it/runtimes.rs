//! Clients that outlive the runtime that dialed: a `static` that several tests use, workers with a runtime each,
//! two runtimes that share a client. The end of a connection's tasks, for any reason, ends the connection.

use std::sync::mpsc;
use std::task::{self, Poll};
use std::thread;
use std::time::Duration;

use kitex::client::{Discover, InstanceSet, PoolKind, StaticAddresses, Transport};
use kitex::{Client, Context};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::fixture::chain::idle;
use crate::fixture::{
    EchoClient, Handlers, Peer, Recorder, Reports, brief, builder, ended, reports, req, resp, soon,
};

const POOLS: [PoolKind; 4] = [PoolKind::Mux(1), PoolKind::Mux(3), PoolKind::long(), PoolKind::Short];

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

const RUNTIMES: [fn() -> Runtime; 2] = [current_thread, multi_thread];

/// A server on a runtime that lives as long as the returned value.
fn serve(handlers: Handlers) -> (Runtime, String) {
    let runtime = multi_thread();
    let peer = runtime.block_on(Peer::start(handlers));
    let address = peer.address.clone();
    // Dropped, so that the server ends only with its runtime.
    drop(peer);
    (runtime, address)
}

fn client(address: &str, pool: PoolKind) -> EchoClient {
    EchoClient::new(builder(address).pool(pool).build().unwrap())
}

async fn count(client: &EchoClient, messages: i64) -> Result<usize, String> {
    let ctx = Context::background();
    let open = client.down(&ctx, req("", messages));
    let mut down = soon(open).await.map_err(|error| error.to_string())?;
    let mut got = 0;
    while soon(down.recv()).await.map_err(|error| error.to_string())?.is_some() {
        got += 1;
    }
    Ok(got)
}

#[test]
fn client_works_in_one_runtime_after_another() {
    let (_server, address) = serve(Handlers::default());
    for pool in POOLS {
        for runtime in RUNTIMES {
            let client = client(&address, pool);
            for round in 0..3 {
                let runtime = runtime();
                runtime.block_on(async {
                    let ping = soon(client.ping(&Context::background(), req("", 7))).await;
                    let seq = ping.map(|pong| pong.seq).map_err(|error| error.to_string());
                    assert_eq!(seq, Ok(Some(7)), "{pool:?} {round}: a ping-pong call");
                    assert_eq!(count(&client, 2).await, Ok(2), "{pool:?} {round}: a stream");
                });
            }
        }
    }
}

/// A stream of `client`, opened on a runtime of its own, that idles.
fn open_elsewhere(
    client: &EchoClient,
    runtime: fn() -> Runtime,
) -> (Runtime, kitex::ServerStreamingClient<crate::fixture::Resp>) {
    let runtime = runtime();
    let down = runtime.block_on(async {
        let mut down = client.down(&Context::background(), req("", 0)).await.unwrap();
        assert!(soon(down.recv()).await.unwrap().is_some());
        down
    });
    (runtime, down)
}

#[test]
fn runtime_shutdown_ends_its_streams_and_cancels_handlers() {
    for pool in POOLS {
        for runtime in RUNTIMES {
            let (reporter, mut reported) = reports();
            let (server, address) = serve(idle(reporter));
            let client = client(&address, pool);
            let (dialed, mut down) = open_elsewhere(&client, runtime);
            // A task of another runtime waits for the stream.
            let (sender, receiver) = mpsc::sync_channel(1);
            let waiter = thread::spawn(move || {
                current_thread().block_on(async {
                    sender.send(()).unwrap();
                    ended(&soon(down.recv()).await)
                })
            });
            receiver.recv().unwrap();
            drop(dialed);
            assert_eq!(waiter.join().unwrap(), "12006 client", "{pool:?}");
            server.block_on(is_notified(&mut reported));
            current_thread().block_on(async {
                assert!(soon(client.down(&Context::background(), req("", 0))).await.is_ok(), "{pool:?}");
            });
        }
    }
}

async fn is_notified(reported: &mut Reports<(String, String)>) {
    let (_, end) = reported.next().await;
    assert!(end == "12013 nowhere" || end.starts_with("grpc "), "{end}");
}

/// A gauge of open streams would never come down again.
#[test]
fn observers_and_close_callbacks_learn_of_a_handler_whose_runtime_is_gone() {
    for transport in [Transport::TtHeader, Transport::Grpc] {
        for runtime in RUNTIMES {
            let (report, mut reported) = reports();
            let handlers = Handlers::default().down(move |_, _, stream| {
                let report = report.clone();
                async move {
                    stream.on_close(move |error| report.send(error.map_or("ok".to_owned(), brief)));
                    stream.send(&resp("idle", 0)).await?;
                    std::future::pending().await
                }
            });
            let recorder = Recorder::default();
            let both = runtime();
            let down = both.block_on(async {
                let peer = Peer::with(handlers, |server| server.observer(recorder.clone())).await;
                let client = builder(&peer.address).transport(transport).build().unwrap();
                let down = EchoClient::new(client).down(&Context::background(), req("", 0)).await;
                let mut down = down.unwrap();
                assert!(soon(down.recv()).await.unwrap().is_some());
                down
            });
            drop(both);
            let closed = current_thread().block_on(reported.next());
            let words = recorder.words();
            let finished: Vec<_> = words.iter().filter(|word| word.starts_with("finish")).collect();
            assert_eq!(finished, [&format!("finish {closed}")], "{transport:?}: {words:?}");
            drop(down);
        }
    }
}

#[test]
fn two_runtimes_share_a_client() {
    let (_server, address) = serve(Handlers::default());
    for pool in POOLS {
        let client = client(&address, pool);
        let runtimes = [multi_thread(), multi_thread()];
        for runtime in runtimes.iter().cycle().take(6) {
            runtime.block_on(async {
                assert!(soon(client.ping(&Context::background(), req("", 0))).await.is_ok());
                assert_eq!(count(&client, 2).await, Ok(2), "{pool:?}");
            });
        }
    }
}

/// A server whose runtime is dropped, on a thread of its own, when `stop` is sent or dropped.
fn serve_until_dropped(runtime: fn() -> Runtime) -> (thread::JoinHandle<()>, oneshot::Sender<()>, String) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = thread::spawn(move || {
        runtime().block_on(async {
            let peer = Peer::start(idle(reports().0)).await;
            sender.send(peer.address.clone()).unwrap();
            let _ = stopped.await;
        });
    });
    (thread, stop, receiver.recv().unwrap())
}

#[test]
fn runtime_shutdown_of_a_server_ends_the_streams_of_its_clients() {
    for pool in POOLS {
        for runtime in RUNTIMES {
            let (thread, stop, address) = serve_until_dropped(runtime);
            let client = client(&address, pool);
            current_thread().block_on(async {
                let mut down = soon(client.down(&Context::background(), req("", 0))).await.unwrap();
                assert!(soon(down.recv()).await.unwrap().is_some());
                drop(stop);
                let end = ended(&soon(down.recv()).await);
                // The handler is dropped with its runtime, before its connection or after it.
                let expected = ["12001 client", "12006 client", "grpc 2", "grpc 13"];
                assert!(expected.contains(&&*end), "{pool:?}: {end}");
                // Until the connection is closed, an opening may still be sent on it; then nobody listens.
                let refused = soon(async {
                    loop {
                        match client.down(&Context::background(), req("", 0)).await {
                            Ok(mut down) => assert_ne!(ended(&down.recv().await), "ok"),
                            Err(error) if brief(&error) == "connect" => return,
                            Err(_) => {}
                        }
                    }
                });
                refused.await;
            });
            thread.join().unwrap();
        }
    }
}

/// Panics at the second poll; the first is made by `build`.
#[derive(Debug)]
struct Flaky(std::sync::atomic::AtomicUsize, StaticAddresses);

impl Discover for Flaky {
    fn poll_instances(&self, cx: &mut task::Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        assert!(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) != 1, "the registry gave nothing");
        self.1.poll_instances(cx, seen)
    }
}

#[tokio::test]
async fn panic_of_an_address_source_fails_that_opening_only() {
    let peer = Peer::start(Handlers::default()).await;
    for pool in POOLS {
        let source = Flaky(0.into(), StaticAddresses::new([&peer.address]));
        let client =
            Client::builder("ServiceB").caller("ServiceA").addresses(source).pool(pool).build().unwrap();
        let client = EchoClient::new(client);
        let first = count(&client, 1).await.unwrap_err();
        assert!(
            first.contains("panic: [happened in the source of addresses] the registry gave nothing"),
            "{first}"
        );
        for _ in 0..3 {
            assert_eq!(count(&client, 1).await, Ok(1), "{pool:?}");
        }
    }
}

#[test]
fn dial_whose_runtime_ends_fails_its_opening_only() {
    let unreachable_runtime = multi_thread();
    let unreachable = unreachable_runtime.block_on(crate::fixture::Unreachable::new());
    for runtime in RUNTIMES {
        let client = builder(&unreachable.address).connect_timeout(Duration::from_secs(1)).build().unwrap();
        let client = EchoClient::new(client);
        let dialing = runtime();
        let opening = client.clone();
        let waiting =
            dialing.spawn(async move { opening.down(&Context::background(), req("", 0)).await.map(drop) });
        dialing.block_on(async {
            crate::fixture::until(|| client.as_ref().pool_stats().dials == 1).await;
        });
        // An opening in another runtime waits for the same dial. It dials again instead of waiting forever.
        let other = client.clone();
        let waiter = thread::spawn(move || {
            current_thread()
                .block_on(async { soon(other.down(&Context::background(), req("", 0))).await.map(drop) })
        });
        drop(waiting);
        drop(dialing);
        let end = waiter.join().unwrap();
        assert_eq!(brief(&end.unwrap_err()), "connect");
    }
}

#[test]
fn opening_outside_of_a_runtime_fails_alone() {
    let (server, address) = serve(Handlers::default());
    for pool in POOLS {
        let client = client(&address, pool);
        for ctx in [Context::background(), Context::background().with_timeout(Duration::from_secs(60))] {
            let opening = futures_util::FutureExt::now_or_never(client.down(&ctx, req("", 0)));
            let error = opening.expect("it fails at once").map(drop).unwrap_err().to_string();
            assert!(error.contains("no tokio runtime"), "{pool:?}: {error}");
            let calling = futures_util::FutureExt::now_or_never(client.ping(&ctx, req("", 0)));
            let error = calling.expect("it fails at once").map(drop).unwrap_err().to_string();
            assert!(error.contains("no tokio runtime"), "{pool:?}: {error}");
        }
        server.block_on(async { assert_eq!(count(&client, 2).await, Ok(2), "{pool:?}") });
    }
}
