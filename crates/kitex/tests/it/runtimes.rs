//! Clients that outlive the runtime that dialed: a `static` that several tests use, workers with a runtime each,
//! two runtimes that share a client. Whatever ends the tasks of a connection ends the connection.

use std::sync::mpsc;
use std::thread;

use kitex::client::{AddressSource, PoolKind};
use kitex::{Client, Context};
use tokio::runtime::{Builder, Runtime};

use crate::fixture::chain::idle;
use crate::fixture::{EchoClient, Handlers, Peer, Reports, brief, builder, ended, reports, req, soon};

const POOLS: [PoolKind; 4] = [PoolKind::Mux(1), PoolKind::Mux(3), PoolKind::long(), PoolKind::Short];

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

const RUNTIMES: [fn() -> Runtime; 2] = [current_thread, multi_thread];

/// A server on a runtime that lives as long as what is returned.
fn serve(handlers: Handlers) -> (Runtime, String) {
    let runtime = multi_thread();
    let peer = runtime.block_on(Peer::start(handlers));
    let address = peer.address.clone();
    // Dropping it would leave the server to its runtime, which is what is wanted.
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
fn a_client_works_in_one_runtime_after_the_other() {
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

/// A stream of `client`'s, opened on a runtime of its own, that idles.
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
fn a_stream_ends_with_the_runtime_of_its_connection_and_its_handler_is_told() {
    for pool in POOLS {
        for runtime in RUNTIMES {
            let (tell, mut told) = reports();
            let (server, address) = serve(idle(tell));
            let client = client(&address, pool);
            let (dialed, mut down) = open_elsewhere(&client, runtime);
            // Somebody waits for the stream on another runtime.
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
            server.block_on(is_told(&mut told));
            current_thread().block_on(async {
                assert!(soon(client.down(&Context::background(), req("", 0))).await.is_ok(), "{pool:?}");
            });
        }
    }
}

async fn is_told(told: &mut Reports<(String, String)>) {
    let (_, end) = told.next().await;
    assert_eq!(end, "12013 nowhere");
}

#[test]
fn two_live_runtimes_share_a_client() {
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

/// Panics when it is asked for the second time: the first is the look of `build`.
#[derive(Debug)]
struct Flaky(std::sync::atomic::AtomicUsize, String);

impl AddressSource for Flaky {
    fn addresses(&self) -> Vec<String> {
        assert!(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) != 1, "the registry gave nothing");
        vec![self.1.clone()]
    }
}

#[tokio::test]
async fn a_source_of_addresses_that_panics_fails_that_opening_alone() {
    let peer = Peer::start(Handlers::default()).await;
    for pool in POOLS {
        let source = Flaky(0.into(), peer.address.clone());
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
fn a_dial_whose_runtime_ends_fails_its_opening_alone() {
    let hole_runtime = multi_thread();
    let hole = hole_runtime.block_on(crate::fixture::Hole::new());
    for runtime in RUNTIMES {
        let client = client(&hole.address, PoolKind::Mux(1));
        let dialing = runtime();
        let opening = client.clone();
        let waiting =
            dialing.spawn(async move { opening.down(&Context::background(), req("", 0)).await.map(drop) });
        dialing.block_on(async {
            crate::fixture::until(|| client.as_ref().pool_stats().dials == 1).await;
        });
        // Another runtime's opening waits for the same dial. It dials again, rather than wait for ever.
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
fn an_opening_that_is_polled_outside_of_a_runtime_fails_and_costs_nothing_else() {
    let (server, address) = serve(Handlers::default());
    for pool in POOLS {
        let client = client(&address, pool);
        for ctx in
            [Context::background(), Context::background().with_timeout(std::time::Duration::from_secs(60))]
        {
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
