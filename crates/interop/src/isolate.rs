//! Many streams on one connection, half of them canceled: what becomes of the others. Beyond the words
//! that both peers were given; its twin in `kitex-peer` draws the same lots.

use std::time::Duration;

use clap::Args;
use kitex::{Code, Context, Error, GrpcStatus};
use serde_json::json;

use crate::dial::{Failure, Target};
use crate::lab::{LabClient, Req};
use crate::line::print;

/// The words of `lab-peer isolate`.
#[derive(Debug, Args)]
pub struct IsolateArgs {
    #[command(flatten)]
    target: Target,
    /// Streams.
    #[arg(long, default_value_t = 10_000)]
    c: u64,
    /// What the lots are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A cancel before the first message meets that message on its way. Without, there is none to meet:
    /// a Kitex client that meets one closes its connection, whoever has sent it.
    #[arg(long)]
    cross: bool,
}

/// Messages of each stream, with such pauses that all streams are open at once.
const MESSAGES: u64 = 6;
const WORDS: &str = "n=6;delay=700";

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lot {
    /// Canceled after so many messages; `None`: never.
    cancel_after: Option<u64>,
    /// How long before a cancel that waits for no message.
    wait: Duration,
}

impl Lot {
    /// The lot of stream `number`: splitmix64, as in the twin.
    fn draw(seed: u64, number: u64) -> Self {
        let mut bits = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // A quarter of all is canceled before its first message.
        let cancel_after = match bits & 3 {
            1 => Some(0),
            3 => Some(1 + (bits >> 2 & 3)),
            _ => None,
        };
        Self { cancel_after, wait: Duration::from_micros(bits >> 8 & 0x3fff) }
    }
}

/// Opens the streams, cancels half of them, and prints how all have ended.
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
    // For the last cancels to be written.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

/// What the stream ended with, if that is not its lot.
async fn meet(client: LabClient, lot: Lot, cross: bool) -> Option<String> {
    let (ctx, canceler) = Context::background().with_cancel();
    let words = if lot.cancel_after == Some(0) && !cross { "idle" } else { WORDS };
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

/// Whether a stream ended by the cancel of this end, over either transport.
fn is_own_cancel(error: &Error) -> bool {
    let by_grpc = error.grpc_status().is_some_and(|status| status.code() == GrpcStatus::CANCELED);
    error.code() == Some(Code::CANCELED) || by_grpc
}
