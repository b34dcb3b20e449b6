//! Runs a scenario for many seeds, each on a runtime of its own whose clock is virtual, and says how to replay one that
//! fails.

use std::env;
use std::fmt::Display;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use stream_core::random::with_seed;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::network::Simulation;

/// The environment variables that select seeds.
const SEED: &str = "KITEX_SEED";
const SEEDS: &str = "KITEX_SEEDS";
/// The environment variable that has arrivals printed too.
const TRACE: &str = "KITEX_TRACE";

/// The virtual time after which a scenario hangs.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Returns the seeds 0 to `count`, without the last; the environment may select others: `KITEX_SEED=17` only this one,
/// `KITEX_SEEDS=5000` that many, `KITEX_SEEDS=5000..6000` those of this range.
///
/// # Panics
/// If such a variable is no number or range.
pub fn seeds(count: u64) -> Range<u64> {
    if let Some(seed) = env::var(SEED).ok().map(|text| number(&text)) {
        return seed..seed.saturating_add(1);
    }
    match env::var(SEEDS) {
        Err(_) => 0..count,
        Ok(text) => match text.split_once("..") {
            Some((start, end)) => number(start)..number(end),
            None => 0..number(&text),
        },
    }
}

fn number(text: &str) -> u64 {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{SEED} is a number, {SEEDS} a number or START..END, not `{text}`"))
}

/// Runs `scenario` once for each seed, on this thread: each time on a new runtime of tokio whose clock is paused, so that
/// time passes only when every task waits, and then at once. A scenario that has not ended after 24 hours of this time fails.
///
/// Clients, servers, their timers and their limits are those of production; only the sockets below them are simulated.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/generated/echo.rs"));
/// use std::time::Duration;
/// use echo::{Mirror, MirrorClient, MirrorServer, Req, Resp};
/// use kitex::testing::{Faults, Link, seeds, simulate};
/// use kitex::{Context, Error, Result, Server, ServerStreamingServer};
///
/// struct Counter;
///
/// #[kitex::async_trait]
/// impl Mirror for Counter {
///     async fn ping(&self, _: Context, req: Req) -> Result<Resp> {
///         Ok(Resp { msg: req.msg, ..Resp::default() })
///     }
///
///     async fn down(&self, ctx: Context, _: Req, stream: ServerStreamingServer<Resp>) -> Result<()> {
///         for seq in 0..10 {
///             stream.send(&Resp { seq: Some(seq), ..Resp::default() }).await?;
///             ctx.until_canceled(tokio::time::sleep(Duration::from_secs(1))).await?;
///         }
///         Ok(())
///     }
/// }
///
/// fn main() {
///     simulate(seeds(20), async |simulation| {
///         let ms = Duration::from_millis;
///         simulation.set_links(Link::default().latency(ms(1)..=ms(30)).piece(1..=100));
///         let server = Server::builder("counter").service(MirrorServer::new(Counter));
///         let server = simulation.serve("counter", server)?;
///         let client = MirrorClient::new(simulation.client("laptop", "counter").build()?);
///
///         let ctx = Context::background();
///         let read = async {
///             let mut stream = client.down(&ctx, Req::default()).await?;
///             let mut next = 0;
///             while let Some(number) = stream.recv().await? {
///                 assert_eq!(number.seq, Some(next));
///                 next += 1;
///             }
///             assert_eq!(next, 10, "a clean end is the end of all messages, whatever the network does");
///             Ok::<_, Error>(())
///         };
///         // A stream that a fault ends has an error; that is no failure of this scenario.
///         let (_ended, ()) = tokio::join!(read, simulation.inject(Faults::default()));
///
///         client.close().await;
///         server.shutdown().await;
///         assert_eq!(simulation.tasks(), 0, "nothing is left");
///         Ok::<_, Box<dyn std::error::Error>>(())
///     });
/// }
/// ```
///
/// # What a seed determines
/// The delays, pieces and faults of the network, the backoff and the balancers of clients, and what the scenario draws from
/// [`Simulation::random`]. Two runs of a seed are then the same to the byte ([`Simulation::fingerprint`]) unless the
/// scenario depends on something else: other threads, the system's clock, the order of a `HashMap`, or a `tokio::select!`
/// without `biased`. Numbers of processors are such a thing too: [`Simulation::client`] sets one connection per client. Over
/// gRPC, h2 forgets a stream that was reset after a second of the system's clock, so that a run that is slower than that may
/// differ.
///
/// # Environment
/// `KITEX_SEED` and `KITEX_SEEDS` select seeds: see [`seeds`]. With `KITEX_TRACE=1` a failure also prints each packet that
/// has arrived.
///
/// # Panics
/// At the first scenario that returns an error or panics. Its seed, the line that replays it, and the faults and dials of
/// its trace are printed before.
pub fn simulate<F, E>(seeds: impl IntoIterator<Item = u64>, scenario: impl Fn(Simulation) -> F)
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    for seed in seeds {
        run(seed, &scenario);
    }
}

fn run<F, E>(seed: u64, scenario: &impl Fn(Simulation) -> F)
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without IO needs nothing of the system");
    let simulation = {
        let _inside = runtime.enter();
        Simulation::start(seed)
    };
    let played = catch_unwind(AssertUnwindSafe(|| {
        with_seed(seed, || runtime.block_on(async { timeout(LIMIT, scenario(simulation.clone())).await }))
    }));
    let failure = match &played {
        Ok(Ok(Ok(()))) => return,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_)) => format!("it had not ended after {} hours of virtual time", LIMIT.as_secs() / 3600),
        Err(_) => "it panicked".to_owned(),
    };
    let lines = if env::var_os(TRACE).is_some() { simulation.trace() } else { simulation.notes() };
    eprintln!("the simulation of seed {seed} failed: {failure}\n{}", lines.join("\n"));
    let test = thread::current().name().filter(|name| *name != "main").map(|name| format!(" {name}"));
    eprintln!("replay with {SEED}={seed} cargo test{}", test.unwrap_or_default());
    match played {
        Err(panic) => resume_unwind(panic),
        Ok(_) => panic!("the simulation of seed {seed} failed: {failure}"),
    }
}
