//! When a stream or call that was refused or lost is tried again. Owns the budget; what counts as refused or lost is a
//! transport's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Retryable;
use crate::call::OutgoingCall;
use crate::cancel::Scope;
use crate::clock;
use crate::dial::jitter;

/// The persistent metainfo key that marks a call which is tried again. Kitex does not retry below such a call, and
/// nor does this crate.
pub(super) const RETRY_KEY: &[u8] = b"RetryReq";

/// When a stream or ping-pong call is tried again on another connection.
///
/// By default it is tried again only where no handler can have begun: the server refused it (12900, 12903, gRPC's
/// REFUSED_STREAM, a stream above the last one of a GOAWAY), or its connection was lost before the server read it. With
/// [`idempotent`](Self::idempotent) also where the connection was lost later, before anything of a response has arrived.
///
/// Never after a cancel or the deadline, never once anything of a response has arrived, and never below a call that is a
/// retry itself: such a call carries the persistent metainfo `RetryReq`, as Kitex's do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    pub(crate) limit: u32,
    pub(crate) percent: u32,
    pub(crate) reserve: u32,
    pub(crate) replay_bytes: usize,
    pub(crate) idempotent: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { limit: 2, percent: 20, reserve: 1000, replay_bytes: 64 * 1024, idempotent: false }
    }
}

impl Retry {
    /// Returns a policy by which nothing is tried again.
    pub const fn none() -> Self {
        Self { limit: 0, percent: 0, reserve: 0, replay_bytes: 0, idempotent: false }
    }

    /// Sets how often one stream or call is tried again at most. Default 2.
    #[must_use]
    pub const fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Sets how many of the client's calls may be tried again: of each hundred calls `percent`, and `reserve` beyond
    /// that, which later calls fill again. Default 20 and 1,000.
    #[must_use]
    pub const fn budget(mut self, percent: u32, reserve: u32) -> Self {
        self.percent = percent;
        self.reserve = reserve;
        self
    }

    /// Sets how many bytes of messages a stream keeps until its answer begins, to send them again. A stream that has
    /// sent more is not tried again. Default 64 KiB.
    #[must_use]
    pub const fn replay_bytes(mut self, bytes: usize) -> Self {
        self.replay_bytes = bytes;
        self
    }

    /// Declares that the handlers of the service are idempotent until their first message: as long as the caller has
    /// received nothing of it, a handler may run once more, at another instance or at the same, even while the first run
    /// goes on. The first run may have come to any point: what it has sent may have been lost with the connection. Default:
    /// `false`.
    ///
    /// A stream is then also opened again if its connection was lost (by TTHeader Streaming 12006, by gRPC UNAVAILABLE) after
    /// the server had read it, provided that neither a header nor a message of the response has arrived, taken by the
    /// caller or not. A ping-pong call is made again if no byte of the response has arrived. What is sent again is the
    /// header of the call and all messages that were sent so far, as far as [`replay_bytes`](Self::replay_bytes) permits; a
    /// direction that was closed is closed again. Limit and budget are the same as for other retries; once they are
    /// used up, the call ends with what it was lost with.
    ///
    /// A connection is lost if it is closed or reset by the other end or the network, or if its keepalive or a write times
    /// out. Errors of a handler, business errors, resets, timeouts and violations of the protocol are never retried.
    /// `CallOptions::idempotent` of `kitex` is the same for single calls.
    #[must_use]
    pub const fn idempotent(mut self, is_idempotent: bool) -> Self {
        self.idempotent = is_idempotent;
        self
    }
}

/// A policy, and how much of its budget is left.
#[derive(Debug)]
pub(super) struct Retries {
    pub(super) policy: Retry,
    /// In hundredths of a retry.
    tokens: AtomicU64,
    taken: AtomicU64,
}

/// Hundredths.
const ONE: u64 = 100;

impl Retries {
    pub(super) fn new(policy: Retry) -> Self {
        let tokens = AtomicU64::new(u64::from(policy.reserve).saturating_mul(ONE));
        Self { policy, tokens, taken: AtomicU64::new(0) }
    }

    /// A call is made for the first time: it adds its share to the budget.
    pub(super) fn deposit(&self) {
        let full = u64::from(self.policy.reserve).saturating_mul(ONE);
        // Full most of the time; a few too many do no harm.
        if self.tokens.load(Ordering::Relaxed) < full {
            self.tokens.fetch_add(u64::from(self.policy.percent), Ordering::Relaxed);
        }
    }

    /// Returns whether a call that was tried again `attempt` times may be tried once more, should it be refused.
    pub(super) fn is_wanted(&self, call: &OutgoingCall<'_>, attempt: u32) -> bool {
        attempt < self.policy.limit && (attempt > 0 || !is_retry(call))
    }

    /// As [`take`](Self::take), for a call that has failed.
    pub(super) fn take_failed(&self, call: &OutgoingCall<'_>, retryable: Retryable, attempt: u32) -> bool {
        let is_covered = match retryable {
            Retryable::Always => true,
            Retryable::IfIdempotent => call.idempotent.unwrap_or(self.policy.idempotent),
            Retryable::Never => false,
        };
        is_covered && self.take(call, attempt)
    }

    /// Takes a retry from the budget. Returns `false` if the call may not be tried again now.
    pub(super) fn take(&self, call: &OutgoingCall<'_>, attempt: u32) -> bool {
        let in_time = call.deadline.is_none_or(|deadline| clock::now() < deadline);
        let canceled = call.scope.and_then(Scope::reason).is_some();
        let take = |tokens: u64| tokens.checked_sub(ONE);
        let is_taken = self.is_wanted(call, attempt)
            && in_time
            && !canceled
            && self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if is_taken {
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        is_taken
    }

    /// Returns how many retries were taken.
    pub(super) fn count(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Waits before a call is tried again that was tried again `attempt` times. The first time not at all: it goes to
/// another connection. Later for 25 to 50 ms, in which the pool learns the peer's limits.
pub(super) async fn pause(attempt: u32) {
    if attempt > 0 {
        tokio::time::sleep(jitter(PAUSE)).await;
    }
}

const PAUSE: Duration = Duration::from_millis(50);

/// Returns whether the call is made below one that was tried again. gRPC changes the case of keys.
fn is_retry(call: &OutgoingCall<'_>) -> bool {
    let pairs = call.metainfo.iter().flat_map(|metainfo| &metainfo.persistent);
    pairs.into_iter().any(|(key, _)| key.eq_ignore_ascii_case(RETRY_KEY))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::cancel::Reason;
    use crate::{Metadata, Metainfo, Method, StreamingMode};

    static METHOD: Method = Method::new("Echo", "Bidi", StreamingMode::Bidirectional);

    fn call<'a>(name: &'a Arc<str>, headers: &'a Metadata) -> OutgoingCall<'a> {
        OutgoingCall { headers, ..OutgoingCall::new(&METHOD, name, name) }
    }

    #[test]
    fn a_budget_is_a_share_of_the_calls_and_a_reserve() {
        // Calls that are made, each refused once; policy; how many are tried again.
        let rows = [
            (100, Retry::default(), 100),
            (100, Retry::none(), 0),
            (100, Retry::default().limit(0), 0),
            (100, Retry::default().budget(0, 10), 10),
            (100, Retry::default().budget(20, 10), 28),
            (100, Retry::default().budget(100, 1), 100),
        ];
        let (name, headers) = (Arc::from(""), Metadata::new());
        for (calls, policy, expected) in rows {
            let retries = Retries::new(policy);
            let tried = (0..calls).filter(|_| {
                retries.deposit();
                retries.take(&call(&name, &headers), 0)
            });
            let tried = tried.count();
            assert!(tried.abs_diff(expected) <= 2, "{policy:?}: {tried}");
            assert_eq!(retries.count(), tried as u64, "{policy:?}");
        }
    }

    #[test]
    fn take_failed_requires_idempotent_handlers_where_one_may_have_begun() {
        use Retryable::{Always, IfIdempotent, Never};
        // What the policy and the call say of the handler; of which failures a call is tried again.
        let rows: [(bool, Option<bool>, &[Retryable]); 6] = [
            (false, None, &[Always]),
            (true, None, &[Always, IfIdempotent]),
            (false, Some(true), &[Always, IfIdempotent]),
            (true, Some(false), &[Always]),
            (true, Some(true), &[Always, IfIdempotent]),
            (false, Some(false), &[Always]),
        ];
        let (name, headers) = (Arc::from(""), Metadata::new());
        for (policy, idempotent, expected) in rows {
            let call = OutgoingCall { idempotent, ..call(&name, &headers) };
            let retries = Retries::new(Retry::default().idempotent(policy));
            let taken = [Always, IfIdempotent, Never];
            let taken: Vec<_> =
                taken.into_iter().filter(|what| retries.take_failed(&call, *what, 0)).collect();
            assert_eq!(taken, expected, "{policy} {idempotent:?}");
            assert_eq!(retries.count(), expected.len() as u64, "{policy} {idempotent:?}");
            assert!(!retries.take_failed(&call, IfIdempotent, 2), "beyond the limit");
        }
    }

    #[test]
    fn take_refuses_what_must_not_be_tried_again() {
        let (name, headers) = (Arc::from(""), Metadata::new());
        let (canceled, open) = (Scope::new(), Scope::new());
        canceled.cancel(&Reason::Canceled);
        let mark = |key: &'static [u8]| Metainfo {
            persistent: vec![(Bytes::from_static(key), Bytes::from_static(b"1"))],
            transient: Vec::new(),
        };
        let (marked, by_grpc, other) = (mark(b"RetryReq"), mark(b"RETRYREQ"), mark(b"Retry"));
        let later = clock::now().checked_add(Duration::from_secs(3600));
        // Attempts before, scope, metainfo, deadline; whether it may be tried again.
        let rows = [
            (0, None, None, None, true),
            (1, None, None, None, true),
            (2, None, None, None, false),
            (0, Some(&open), None, later, true),
            (0, Some(&canceled), None, None, false),
            (0, None, None, Some(clock::now()), false),
            (0, None, Some(&marked), None, false),
            (0, None, Some(&by_grpc), None, false),
            (1, None, Some(&marked), None, true),
            (0, None, Some(&other), None, true),
        ];
        for (at, (attempt, scope, metainfo, deadline, expected)) in rows.into_iter().enumerate() {
            let retries = Retries::new(Retry::default());
            let call = OutgoingCall { scope, metainfo, deadline, ..call(&name, &headers) };
            assert_eq!(retries.take(&call, attempt), expected, "row {at}");
        }
    }
}
