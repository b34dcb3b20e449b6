//! Models of the memory budget: connections that fill it at once.

use std::sync::{Arc, Weak};

use loom::thread::spawn;

use super::{BASE, MemoryBudget, Pressure, STEP, Share, Shed};
use crate::models::check;
use crate::sync::Mutex;

/// A connection: its share, what its streams hold, and how many of them were ended.
struct Streams(Mutex<(Share, Vec<usize>, usize)>);

impl Streams {
    fn new(budget: &MemoryBudget) -> Arc<Self> {
        Arc::new_cyclic(|this| {
            let mut share = Share::new(budget);
            share.register(Weak::<Self>::clone(this));
            Self(Mutex::new((share, Vec::new(), 0)))
        })
    }

    /// Receives `steps` for streams of the connection.
    fn receive(&self, steps: &[usize]) {
        let mut state = self.0.lock();
        state.1 = steps.iter().map(|steps| steps * STEP).collect();
        let held = state.1.iter().sum();
        state.0.set(held);
    }

    fn ended(&self) -> usize {
        self.0.lock().2
    }
}

impl Shed for Streams {
    fn shed(&self, _: usize) -> usize {
        let mut state = self.0.lock();
        let Some(largest) = state.1.iter().copied().max() else { return 0 };
        state.1.retain(|held| *held != largest);
        let held = state.1.iter().sum();
        state.0.set(held);
        state.2 += 1;
        largest
    }
}

/// Whoever fills the budget finds what the other holds, and both together end no more than is necessary.
#[test]
fn memory_budget_that_two_connections_fill_at_once_ends_the_largest_stream_alone() {
    check(|| {
        let budget = MemoryBudget::new(100 * STEP);
        let [first, second] = [(); 2].map(|()| Streams::new(&budget));
        let filling = spawn({
            let (budget, first) = (budget.clone(), first.clone());
            move || {
                first.receive(&[40, 30]);
                budget.relieve();
            }
        });
        second.receive(&[26]);
        budget.relieve();
        filling.join().unwrap();
        assert_eq!((first.ended(), second.ended()), (1, 0));
        assert_eq!((budget.pressure(), budget.used()), (Pressure::None, 56 * STEP + 2 * BASE));
    });
}
