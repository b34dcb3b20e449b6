//! Chain ids for programs without tracing.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use kerrors::Side;
use stream_core::observe::{CallObserver, CallStart, ChainId, Observer, SERVICE_NAME, TRACEPARENT};

/// Gives the calls of a client a chain id, so that [`inspect`](crate::inspect) shows which streams of which processes
/// belong together: an [`Observer`] for [`ClientBuilder::observer`](crate::client::ClientBuilder::observer).
///
/// The id is a trace id of W3C Trace Context, in the transient metainfo `traceparent`, not sampled. A call that has one
/// keeps it, and services pass it on: ours always, Kitex v0.16.3 by default. So only clients at the start of a chain need
/// this. It also writes the caller's name as `service.name`, for [`CallStart::caller`] at a server of TTHeader Streaming. An observer
/// for traces does both; do not use it together with this one.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ChainIds;

impl ChainIds {
    /// Returns the observer.
    pub const fn new() -> Self {
        Self
    }
}

impl Observer for ChainIds {
    fn start(&self, call: &mut CallStart<'_>) -> Option<Box<dyn CallObserver>> {
        if call.side == Side::Client {
            if ChainId::of(call.metainfo).is_none() {
                let id = (u128::from(random()) << 64) | u128::from(random());
                let traceparent = format!("00-{id:032x}-{:016x}-00", random());
                call.metainfo.set_transient(TRACEPARENT, traceparent);
            }
            if let Some(caller) = &call.caller {
                call.metainfo.set_transient(SERVICE_NAME, caller.clone().into_owned());
            }
        }
        None
    }
}

/// Returns a random number other than zero, unique with high probability. Not for secrets.
fn random() -> u64 {
    /// Seeded by the system, once per process.
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = KEYS.build_hasher();
    hasher.write_u64(NEXT.fetch_add(1, Ordering::Relaxed));
    hasher.finish().max(1)
}
