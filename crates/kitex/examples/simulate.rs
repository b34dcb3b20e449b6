//! Your own service under simulated faults: a counter that saves how far it has come, so that a client that has lost
//! its stream goes on where it was. 200 seeds, each with delays, stalls, partitions, resets and crashes, in virtual time.
//! `cargo run -p kitex --features simulation --example simulate`; `KITEX_SEED=17` replays one seed.

mod shared;

use std::cell::Cell;
use std::time::{Duration, Instant};

use kitex::testing::{Faults, Link, Simulation, seeds, simulate};
use kitex::{Client, Context, Result, Server, ServerStreamingServer};
use shared::echo::{Mirror, MirrorClient, MirrorServer};
use shared::{Ended, Req, Resp, req, resp};
use tokio::time::sleep;

/// The numbers that a client wants.
const COUNT: i64 = 20;

/// Counts from the number of the request.
struct Counter;

#[kitex::async_trait]
impl Mirror for Counter {
    async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
        Ok(resp(&req.msg.unwrap_or_default(), 0))
    }

    async fn down(&self, ctx: Context, req: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
        for seq in req.seq.unwrap_or_default()..COUNT {
            stream.send(&resp("", seq)).await?;
            ctx.until_canceled(sleep(Duration::from_millis(50))).await?;
        }
        Ok(())
    }
}

/// Receives every number once, over as many streams as that takes. Returns their number.
async fn count_all(client: &MirrorClient) -> Result<usize> {
    let (mut next, mut streams) = (0, 0);
    while next < COUNT {
        streams += 1;
        // A link that is silent for long is left.
        let ctx = Context::background().with_timeout(Duration::from_secs(2));
        let Ok(mut stream) = client.down(&ctx, req("", next)).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        // An error ends this stream, and the next one goes on.
        while let Ok(Some(number)) = stream.recv().await {
            assert_eq!(number.seq, Some(next), "no number is lost, none comes twice");
            next += 1;
        }
    }
    Ok(streams)
}

/// What happens in one simulation. Returns the number of streams, and the virtual time.
async fn play(simulation: &Simulation) -> std::result::Result<(usize, Duration), Box<dyn std::error::Error>> {
    let ms = Duration::from_millis;
    simulation.set_links(Link::default().latency(ms(1)..=ms(20)).piece(1..=64));
    let server =
        simulation.serve("counter", Server::builder("counter").service(MirrorServer::new(Counter)))?;
    let client: Client = simulation.client("laptop", "counter").caller("reader").build()?;
    let client = MirrorClient::new(client);

    let (streams, ()) = tokio::join!(count_all(&client), simulation.inject(Faults::default()));
    let (streams, time) = (streams?, simulation.elapsed());

    client.close().await;
    server.shutdown().await;
    assert_eq!(simulation.tasks(), 0, "nothing is left");
    Ok((streams, time))
}

fn main() -> Ended {
    let (count, streams, time) = (Cell::new(0), Cell::new(0), Cell::new(Duration::ZERO));
    let began = Instant::now();
    simulate(seeds(200), async |simulation| {
        let (used, took) = play(&simulation).await?;
        count.set(count.get() + 1);
        streams.set(streams.get() + used);
        time.set(time.get() + took);
        Ok::<_, Box<dyn std::error::Error>>(())
    });
    let (count, streams, time) = (count.get(), streams.get(), time.get());
    println!("{count} simulations of {} s in {} ms", time.as_secs(), began.elapsed().as_millis());
    println!("{streams} streams for {count} clients, and no number lost");
    assert!(streams >= count);
    Ok(())
}
