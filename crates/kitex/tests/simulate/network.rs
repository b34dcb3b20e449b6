//! The simulated network itself: what each fault does to a stream, and when.

use std::panic::catch_unwind;
use std::time::Duration;

use kitex::client::Transport;
use kitex::testing::{Link, Simulation, TestServer, simulate};
use kitex::{
    BidiStreamingServer, ClientStreamingServer, Context, Error, Result, Server, ServerStreamingServer,
};
use tokio::time::{Instant, sleep};

use crate::chain::Ended;
use crate::echo::{
    Echo, EchoClient, EchoPingError, EchoServer, Mirror, MirrorClient, MirrorServer, Req, Resp,
};
use crate::plan::ms;

/// Sends a message every 100 ms.
struct Ticker;

#[kitex::async_trait]
impl Mirror for Ticker {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(Resp::default())
    }

    async fn down(&self, ctx: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        loop {
            stream.send(&Resp::default()).await?;
            ctx.until_canceled(sleep(ms(100))).await?;
        }
    }
}

fn serve(simulation: &Simulation) -> (TestServer, MirrorClient) {
    simulation.set_links(Link::default().latency(ms(10)..=ms(10)));
    let server = Server::builder("ticker").service(MirrorServer::new(Ticker));
    let server = simulation.serve("ticker:80", server).expect("a server that makes sense");
    (
        server,
        MirrorClient::new(simulation.client("user", "ticker:80").build().expect("a client that makes sense")),
    )
}

/// What happens to a stream, and what its client sees of it: whether a message arrives within a second, and whether it has
/// failed or goes on a minute later.
type Row = (&'static str, fn(&Simulation), bool, &'static str);

fn rows() -> [Row; 8] {
    [
        ("nothing", |_| (), true, "goes on"),
        ("delay", |net| net.delay("user", "ticker", ms(5000)), false, "goes on"),
        ("stall", |net| net.stall("ticker", "user"), false, "goes on"),
        ("stall of the other direction", |net| net.stall("user", "ticker"), true, "goes on"),
        ("partition", |net| net.partition("user", "ticker"), false, "timed out"),
        ("partition of others", |net| net.partition("user", "other"), true, "goes on"),
        ("reset", |net| net.reset("ticker", "user"), false, "connection reset"),
        ("crash", |net| net.crash("ticker"), false, "connection reset"),
    ]
}

async fn see(
    what: &str,
    fault: fn(&Simulation),
    arrives: bool,
    later: &str,
    simulation: &Simulation,
) -> Ended {
    let (server, client) = serve(simulation);
    let mut stream = client.down(&Context::background(), Req::default()).await?;
    for _ in 0..3 {
        assert!(stream.recv().await?.is_some());
    }
    fault(simulation);
    // What has arrived already, or was sent before.
    while let Ok(Ok(Some(_))) = tokio::time::timeout(ms(50), stream.recv()).await {}
    let message = tokio::time::timeout(ms(1000), stream.recv()).await;
    assert_eq!(matches!(message, Ok(Ok(Some(_)))), arrives, "{what}: {message:?}");
    let end = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Err(error) = stream.recv().await {
                break error.to_string();
            }
        }
    });
    let end = end.await.unwrap_or_else(|_| "goes on".to_owned());
    assert!(end.contains(later), "{what}: {end}");
    simulation.heal_all();
    client.ping(&Context::background(), Req::default()).await?;
    drop(stream);
    client.close().await;
    server.shutdown().await;
    assert_eq!((simulation.tasks(), simulation.open_connections()), (0, Vec::new()), "{what}");
    Ok(())
}

#[test]
fn faults_do_to_a_stream_what_they_say() {
    for (what, fault, arrives, later) in rows() {
        simulate([1], async |simulation| see(what, fault, arrives, later, &simulation).await);
    }
}

#[test]
fn messages_take_the_latency_of_the_link_in_virtual_time() {
    for (link, least) in [
        (Link::default().latency(ms(10)..=ms(10)), 10),
        (Link::default().latency(ms(4000)..=ms(4000)), 4000),
        (Link::default().bandwidth(10), 1000),
        (Link::default().loss(1), 200),
        (Link::default().piece(1..=1).latency(ms(7)..=ms(7)), 7),
    ] {
        simulate([1], async |simulation| {
            let (_server, client) = serve(&simulation);
            client.ping(&Context::background(), Req::default()).await?;
            simulation.set_links(link.clone());
            let began = Instant::now();
            client.ping(&Context::background(), Req::default()).await?;
            let there_and_back = 2 * ms(least);
            assert!(began.elapsed() >= there_and_back, "{link:?}: {:?}", began.elapsed());
            assert!(began.elapsed() < 20 * there_and_back, "{link:?}: {:?}", began.elapsed());
            Ok::<_, Error>(())
        });
    }
}

#[test]
fn dials_wait_for_a_partition_and_fail_at_a_crashed_or_unknown_host() {
    simulate([1], async |simulation| {
        let (_server, client) = serve(&simulation);
        simulation.partition("user", "ticker");
        let healing = async {
            sleep(ms(500)).await;
            simulation.heal("user", "ticker");
        };
        let ctx = Context::background();
        let (called, ()) = tokio::join!(client.ping(&ctx, Req::default()), healing);
        called?;
        simulation.crash("ticker");
        let error = client.ping(&ctx, Req::default()).await.expect_err("its connection was reset");
        assert!(error.to_string().contains("reset"), "{error}");
        let error = client.ping(&Context::background(), Req::default()).await.expect_err("the host is down");
        assert!(error.to_string().contains("refused the connection"), "{error}");
        let unknown = MirrorClient::new(simulation.client("user", "nobody").build()?);
        let error = unknown.ping(&Context::background(), Req::default()).await.expect_err("nobody listens");
        assert!(error.to_string().contains("nobody refused the connection"), "{error}");
        Ok::<_, Box<dyn std::error::Error>>(())
    });
}

/// Sends one message on each stream, and waits.
struct Silent;

#[kitex::async_trait]
impl Echo for Silent {
    async fn ping(&self, _: Context, _: Req) -> Result<Resp, EchoPingError> {
        Ok(Resp::default())
    }

    async fn unary(&self, _: Context, _: Req) -> Result<Resp> {
        Ok(Resp::default())
    }

    async fn up(&self, _: Context, _: ClientStreamingServer<Req>) -> Result<Resp> {
        Ok(Resp::default())
    }

    async fn down(&self, _: Context, _: Req, _: ServerStreamingServer<Resp>) -> Result<()> {
        Ok(())
    }

    async fn bidi(&self, ctx: Context, stream: BidiStreamingServer<Req, Resp>) -> Result<()> {
        stream.send(&Resp::default()).await?;
        Err(ctx.canceled().await.into())
    }

    async fn note(&self, _: Context, _: Req) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_cancel_or_drop_after_a_send_has_reported_a_lost_connection_changes_nothing() {
    for (transport, cancels) in [
        (Transport::TtHeader, true),
        (Transport::TtHeader, false),
        (Transport::Grpc, true),
        (Transport::Grpc, false),
    ] {
        simulate([1], async |simulation| {
            let _server =
                simulation.serve("silent", Server::builder("silent").service(EchoServer::new(Silent)))?;
            let client = EchoClient::new(simulation.client("user", "silent").transport(transport).build()?);
            let (ctx, canceler) = Context::background().with_cancel();
            let (sender, mut receiver) = client.bidi(&ctx).await?.split();
            sender.send(&Req::default()).await?;
            // The message has arrived, and nobody has received it.
            sleep(ms(1500)).await;
            simulation.reset("user", "silent");
            sleep(ms(1500)).await;
            let lost = sender.send(&Req::default()).await.expect_err("the connection is lost").to_string();
            if cancels {
                canceler.cancel();
            } else {
                drop(sender);
            }
            let end = loop {
                if let Err(error) = receiver.recv().await {
                    break error.to_string();
                }
            };
            assert_eq!(end, lost, "{transport:?}, canceled: {cancels}");
            Ok::<_, Box<dyn std::error::Error>>(())
        });
    }
}

#[test]
fn a_scenario_that_fails_panics_or_hangs_fails_its_seed() {
    type Scenario = fn(u64) -> Result<(), String>;
    let failing: Scenario = |seed| if seed == 3 { Err("as it must".to_owned()) } else { Ok(()) };
    let panicking: Scenario = |seed| if seed == 3 { panic!("at seed {seed}") } else { Ok(()) };
    for (scenario, expected) in [(failing, "seed 3 failed: as it must"), (panicking, "at seed 3")] {
        let failed = catch_unwind(|| simulate(0..10, async |simulation| scenario(simulation.seed())));
        let text = failed.expect_err("seed 3 fails");
        let text = text.downcast_ref::<String>().expect("a text");
        assert!(text.contains(expected), "{text}");
    }
    let hangs = || simulate([5], async |_| std::future::pending::<Result<(), String>>().await);
    let text = catch_unwind(hangs).expect_err("it hangs");
    let text = text.downcast_ref::<String>().expect("a text");
    assert!(text.contains("seed 5 failed: it had not ended after 24 hours"), "{text}");
}
