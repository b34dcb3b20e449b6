//! Many streams on one connection, half of them canceled: checks that the others are unaffected. The Kitex
//! peer (`kitex-peer`) draws the same streams from the same seed.

use std::time::Duration;

use clap::Args;
use kitex::{Code, Context, Error, GrpcStatus};
use serde_json::json;

use crate::dial::{Failure, Target};
use crate::lab::{LabClient, Req};
use crate::line::print;

/// The arguments of `lab-peer isolate`.
#[derive(Debug, Args)]
pub struct IsolateArgs {
    #[command(flatten)]
    target: Target,
    /// Number of streams.
    #[arg(long, default_value_t = 10_000)]
    c: u64,
    /// The seed that selects the streams to cancel.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A cancel before the first message crosses that message. Without it, there is no message to cross: a
    /// Kitex client whose cancel crosses one closes its connection, whichever peer has sent the message.
    #[arg(long)]
    cross: bool,
}

/// The messages of each stream, with pauses so that all streams are open at once.
const MESSAGES: u64 = 6;
const WORDS: &str = "n=6;delay=700";

/// What a stream that is canceled asks for: so much that its handler cannot have sent all of it before a cancel that
/// arrives late, because the machine is busy.
const CANCELED_WORDS: &str = "n=1000;delay=700";

/// The plan of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lot {
    /// Canceled after this many messages; `None`: never.
    cancel_after: Option<u64>,
    /// The delay of a cancel before the first message.
    wait: Duration,
}

impl Lot {
    /// Draws the plan of stream `number`: splitmix64, as in the Kitex peer.
    fn draw(seed: u64, number: u64) -> Self {
        let mut bits = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // A quarter of all streams is canceled before the first message.
        let cancel_after = match bits & 3 {
            1 => Some(0),
            3 => Some(1 + (bits >> 2 & 3)),
            _ => None,
        };
        Self { cancel_after, wait: Duration::from_micros(bits >> 8 & 0x3fff) }
    }
}

/// Opens the streams, cancels half of them, and prints the ends of all.
///
/// # Errors
/// The client cannot be built.
pub async fn run(args: IsolateArgs) -> Result<(), Failure> {
    let IsolateArgs { target, c, seed, cross } = args;
    let client = target.client()?;
    let mut streams = Vec::new();
    for number in 0..c {
        let lot = Lot::draw(seed, number);
        streams.push((lot, tokio::spawn(meet(client.clone(), lot, cross))));
    }
    let (mut survivors, mut canceled, mut before, mut broken) = (0, 0, 0, Vec::new());
    for (number, (lot, stream)) in streams.into_iter().enumerate() {
        match (stream.await?, lot.cancel_after) {
            (Some(text), _) => broken.push(json!({"seq": number, "err": text})),
            (None, None) => survivors += 1,
            (None, after) => {
                canceled += 1;
                before += u64::from(after == Some(0));
            }
        }
    }
    print(&json!({
        "ev": "isolated", "c": c, "survivors": survivors, "canceled": canceled, "before": before,
        "broken": broken,
    }));
    // Time for the last cancels to be written.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

/// Returns the end of a stream, if it differs from its plan.
async fn meet(client: LabClient, lot: Lot, cross: bool) -> Option<String> {
    let (ctx, canceler) = Context::background().with_cancel();
    let words = match lot.cancel_after {
        None => WORDS,
        Some(0) if !cross => "idle",
        Some(_) => CANCELED_WORDS,
    };
    let req = Req { msg: Some(words.into()), seq: Some(0), payload: None };
    let mut stream = match client.down(&ctx, req).await {
        Ok(stream) => stream,
        Err(error) => return Some(error.to_string()),
    };
    let mut received = 0;
    loop {
        if lot.cancel_after == Some(received) {
            if received == 0 {
                tokio::time::sleep(lot.wait).await;
            }
            canceler.cancel();
        }
        match (stream.recv().await, lot.cancel_after) {
            (Ok(Some(_)), after) if after != Some(received) => received += 1,
            (Ok(None), None) if received == MESSAGES => return None,
            (Err(error), Some(after)) if after == received && is_own_cancel(&error) => {
                return None;
            }
            (Err(error), _) => return Some(format!("after {received} messages: {error}")),
            (Ok(_), _) => return Some(format!("goes on after {received} messages")),
        }
    }
}

/// Returns whether a stream ended by the cancel of this end, over either transport.
fn is_own_cancel(error: &Error) -> bool {
    let by_grpc = error.grpc_status().is_some_and(|status| status.code() == GrpcStatus::CANCELED);
    error.code() == Some(Code::CANCELED) || by_grpc
}
