//! Balancers: which instance a new stream or call goes to. Know no connections.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::call::OutgoingCall;
use crate::dial::Instance;
use crate::random::{mix, random};
use crate::sync::Mutex;

/// Selects the instance that a new stream or call goes to.
pub trait Balance: fmt::Debug + Send + Sync + 'static {
    /// Returns the index of the selected candidate. Called for each new stream and call if there are several; must not block. A panic is
    /// logged, and selects the first candidate.
    fn pick(&self, candidates: &Candidates<'_>, call: &OutgoingCall<'_>) -> usize;
}

/// The instances that a call may go to: those with its tag, without those that cannot be reached, and without those that
/// were tried for this call. Two at least.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    all: &'a [Candidate],
    /// Indexes in `all`; `None`: all of them.
    chosen: Option<&'a [usize]>,
}

/// An instance and its streams and calls.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) instance: Instance,
    pub(super) load: Arc<AtomicUsize>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(all: &'a [Candidate], chosen: Option<&'a [usize]>) -> Self {
        Self { all, chosen }
    }

    /// Returns the number of candidates.
    pub fn len(&self) -> usize {
        self.chosen.map_or(self.all.len(), <[usize]>::len)
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the instances, in the order of the source.
    pub fn instances(&self) -> impl Iterator<Item = &'a Instance> {
        let Self { all, chosen } = *self;
        let candidates = (0..self.len()).filter_map(move |index| Self { all, chosen }.get(index));
        candidates.map(|candidate| &candidate.instance)
    }

    fn get(&self, index: usize) -> Option<&'a Candidate> {
        match self.chosen {
            None => self.all.get(index),
            Some(chosen) => self.all.get(*chosen.get(index)?),
        }
    }

    /// Returns the number of streams and calls of this client at the candidate, those that are being opened included.
    pub fn load(&self, index: usize) -> usize {
        self.get(index).map_or(0, |candidate| candidate.load.load(Ordering::Relaxed))
    }

    fn weight(&self, index: usize) -> usize {
        let weight = self.get(index).map_or(1, |candidate| candidate.instance.weight.max(1));
        usize::try_from(weight).unwrap_or(usize::MAX)
    }

    /// Returns whether one more stream at `left` is a greater load than one more at `right`, in proportion to their weights.
    fn is_busier(&self, left: usize, right: usize) -> bool {
        let next = |index| self.load(index).saturating_add(1);
        next(left).saturating_mul(self.weight(right)) > next(right).saturating_mul(self.weight(left))
    }
}

/// The default: the less loaded of two random instances, in proportion to their weights. Streams are long, so a balancer
/// of openings alone would leave an instance that has restarted without load.
#[derive(Debug)]
pub struct LeastStreams(AtomicU64);

impl Default for LeastStreams {
    fn default() -> Self {
        Self(AtomicU64::new(random()))
    }
}

impl Balance for LeastStreams {
    fn pick(&self, candidates: &Candidates<'_>, _: &OutgoingCall<'_>) -> usize {
        let count = u64::try_from(candidates.len()).unwrap_or(u64::MAX);
        let bits = mix(self.0.fetch_add(1, Ordering::Relaxed));
        let below = |bits: u64, limit: u64| {
            let index = bits.checked_rem(limit).unwrap_or_default();
            usize::try_from(index).unwrap_or_default()
        };
        let first = below(bits >> 32, count);
        // Another one: the second is drawn from those that are left.
        let second = below(bits & 0xffff_ffff, count.saturating_sub(1));
        let second = if second >= first { second.saturating_add(1) } else { second };
        if second < candidates.len() && candidates.is_busier(first, second) { second } else { first }
    }
}

/// Weighted round robin: each instance in turn, in proportion to its weight, as Kitex has it by default. It balances
/// openings, not streams.
#[derive(Debug, Default)]
pub struct RoundRobin(Mutex<HashMap<Arc<str>, i64>>);

impl Balance for RoundRobin {
    /// Smooth weighted round robin: each candidate gains its weight, and the one with most is selected and loses the sum.
    fn pick(&self, candidates: &Candidates<'_>, _: &OutgoingCall<'_>) -> usize {
        let mut turns = self.0.lock();
        if turns.len() > candidates.len().saturating_mul(2).saturating_add(64) {
            turns.clear();
        }
        let (mut best, mut most, mut sum) = (0, i64::MIN, 0_i64);
        for (index, instance) in candidates.instances().enumerate() {
            let weight = i64::from(instance.weight.max(1));
            sum = sum.saturating_add(weight);
            let turn = match turns.get_mut(&instance.address) {
                Some(turn) => turn,
                None => turns.entry(instance.address.clone()).or_default(),
            };
            *turn = turn.saturating_add(weight);
            if *turn > most {
                (best, most) = (index, *turn);
            }
        }
        let selected = candidates.instances().nth(best).and_then(|instance| turns.get_mut(&instance.address));
        selected.into_iter().for_each(|turn| *turn = turn.saturating_sub(sum));
        best
    }
}

/// Consistent hash: calls with the same value of a metainfo key go to the same instance, as long as it is there, for
/// example those of one conversation to the model server that has it in its cache. An instance that comes or goes moves its own
/// share of the values only. Calls without the key go to [`LeastStreams`].
#[derive(Debug)]
pub struct ConsistentHash {
    key: Bytes,
    other: LeastStreams,
}

impl ConsistentHash {
    /// Returns a balancer by the metainfo `key`, persistent or transient.
    pub fn by_metainfo(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), other: LeastStreams::default() }
    }
}

impl Balance for ConsistentHash {
    /// Rendezvous hashing: the instance with the highest score of value and address.
    fn pick(&self, candidates: &Candidates<'_>, call: &OutgoingCall<'_>) -> usize {
        let value = call.metainfo.and_then(|metainfo| {
            metainfo.persistent_value(&self.key).or_else(|| metainfo.transient_value(&self.key))
        });
        let Some(value) = value else { return self.other.pick(candidates, call) };
        let scores = candidates.instances().map(|instance| score(value, instance)).enumerate();
        scores.max_by(|(_, left), (_, right)| left.total_cmp(right)).map_or(0, |(index, _)| index)
    }
}

/// Returns the score of an instance for `value`: with it, each instance is highest for its share of all values.
#[expect(clippy::cast_precision_loss, reason = "a score needs no more than 53 bits")]
fn score(value: &[u8], instance: &Instance) -> f64 {
    let hash = mix(hash(value) ^ mix(hash(instance.address.as_bytes())));
    // In (0, 1).
    let part = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(instance.weight.max(1)) / part.ln()
}

/// FNV-1a: the same in every process, since all clients must select the same instance.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metainfo, Method, StreamingMode};

    static METHOD: Method = Method::new("Echo", "Bidi", StreamingMode::Bidirectional);

    /// Picks `count` times, counting each pick as a stream that stays. Returns the streams of each instance.
    fn picks(
        balance: &dyn Balance,
        weights: &[u32],
        count: u32,
        key: impl Fn(u32) -> Option<String>,
    ) -> Vec<usize> {
        let instance =
            |(at, weight): (usize, &u32)| Instance::new(format!("10.0.0.{at}:80")).with_weight(*weight);
        let all = candidates(weights.iter().enumerate().map(instance));
        let name = Arc::from("");
        for at in 0..count {
            let mut metainfo = Metainfo::default();
            key(at).into_iter().for_each(|value| metainfo.set_persistent("conversation", value));
            let call = OutgoingCall { metainfo: Some(&metainfo), ..OutgoingCall::new(&METHOD, &name, &name) };
            let picked = balance.pick(&Candidates::new(&all, None), &call);
            all[picked].load.fetch_add(1, Ordering::Relaxed);
        }
        all.iter().map(|candidate| candidate.load.load(Ordering::Relaxed)).collect()
    }

    fn candidates(instances: impl Iterator<Item = Instance>) -> Vec<Candidate> {
        instances.map(|instance| Candidate { instance, load: Arc::default() }).collect()
    }

    #[test]
    fn balancers_give_each_instance_its_share() {
        let by_key = ConsistentHash::by_metainfo("conversation");
        let (least, turns) = (LeastStreams::default(), RoundRobin::default());
        // Balancer; weights; percent that a share may differ.
        let rows: [(&dyn Balance, &[u32], usize); 7] = [
            (&least, &[10, 10, 10, 10], 10),
            (&least, &[1, 1], 2),
            (&least, &[10, 20, 10, 20], 20),
            (&turns, &[10, 10, 10], 1),
            (&turns, &[1, 2, 5], 1),
            (&by_key, &[10, 10, 10, 10], 15),
            (&by_key, &[10, 30], 15),
        ];
        for (balance, weights, percent) in rows {
            let counts = picks(balance, weights, 4000, |at| Some(format!("c{at}")));
            let sum: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(weights) {
                let share = 4000 * *weight as usize / sum as usize;
                assert!(
                    count.abs_diff(share) <= share * percent / 100 + 1,
                    "{balance:?} {weights:?}: {counts:?}"
                );
            }
        }
    }

    #[test]
    fn candidates_are_those_that_were_chosen() {
        let all = candidates((0..4).map(|at| Instance::new(format!("10.0.0.{at}:80")).with_weight(at + 1)));
        for (load, candidate) in all.iter().enumerate() {
            candidate.load.store(load, Ordering::Relaxed);
        }
        for (chosen, expected) in
            [(None, vec![0, 1, 2, 3]), (Some(&[1, 3][..]), vec![1, 3]), (Some(&[]), vec![])]
        {
            let shown = Candidates::new(&all, chosen);
            let loads: Vec<_> = (0..shown.len()).map(|index| shown.load(index)).collect();
            assert_eq!((loads, shown.is_empty()), (expected.clone(), expected.is_empty()));
            let weights: Vec<_> = shown.instances().map(|instance| instance.weight as usize - 1).collect();
            assert_eq!(weights, expected);
        }
    }

    #[test]
    fn round_robin_begins_with_the_first_and_takes_turns() {
        let mut before = vec![0; 3];
        let order = (1..=6).map(|count| {
            let now = picks(&RoundRobin::default(), &[1, 1, 1], count, |_| None);
            let next = now.iter().zip(&before).position(|(now, before)| now > before);
            before = now;
            next
        });
        assert_eq!(order.flatten().collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn consistent_hash_keeps_a_key_at_its_instance_when_another_goes() {
        let balance = ConsistentHash::by_metainfo("conversation");
        let place = |instances: &[Instance], key: u32| {
            let name = Arc::from("");
            let all = candidates(instances.iter().cloned());
            let mut metainfo = Metainfo::default();
            metainfo.set_transient("conversation", key.to_string());
            let call = OutgoingCall { metainfo: Some(&metainfo), ..OutgoingCall::new(&METHOD, &name, &name) };
            let picked = balance.pick(&Candidates::new(&all, None), &call);
            instances[picked].address.clone()
        };
        let all: Vec<_> = (0..5).map(|at| Instance::new(format!("10.0.0.{at}:80"))).collect();
        for key in 0..500 {
            let before = place(&all, key);
            assert_eq!(place(&all, key), before);
            let gone = all[2].address.clone();
            let left: Vec<_> = all.iter().filter(|instance| instance.address != gone).cloned().collect();
            let after = place(&left, key);
            assert!(after == before || before == gone, "{key}: {before} -> {after}");
        }
    }
}
