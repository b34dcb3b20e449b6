//! What handlers have planned and done, in a unit of the service: what a cancel has saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kerrors::Side;
use stream_core::observe::CallStart;

use crate::families::Families;

/// The work of one call, which its handler counts: `kitex_work_done_total`, and what was planned and not done because
/// the call was canceled, `kitex_work_saved_total`. A handler finds it in its context if
/// [`work_unit`](crate::MetricsBuilder::work_unit) is set: `ctx.extension::<Work>()`. Clones are the same.
///
/// It is in the contexts of the calls that the handler makes too: these add nothing to it by themselves.
#[derive(Clone, Debug, Default)]
pub struct Work(Arc<Amounts>);

#[derive(Debug, Default)]
struct Amounts {
    planned: AtomicU64,
    done: AtomicU64,
}

impl Work {
    /// Sets how much work the call is if it is not canceled, for example the largest number of tokens of a response.
    pub fn plan(&self, amount: u64) {
        self.0.planned.store(amount, Ordering::Relaxed);
    }

    /// Adds work that is done.
    pub fn done(&self, amount: u64) {
        self.0.done.fetch_add(amount, Ordering::Relaxed);
    }
}

/// Counts the work of one call when it has ended.
pub(crate) struct Meter {
    unit: Box<str>,
    work: Work,
}

/// Gives the handler of a server's call its [`Work`].
pub(crate) fn begin(unit: &str, call: &mut CallStart<'_>) -> Option<Box<Meter>> {
    if call.side == Side::Client {
        return None;
    }
    let work = Work::default();
    call.extensions.insert(work.clone());
    Some(Box::new(Meter { unit: unit.into(), work }))
}

impl Meter {
    pub(crate) fn count(&self, families: &Families, of: [&str; 2], canceled: bool) {
        let labels = [of[0], of[1], &*self.unit];
        let done = self.work.0.done.load(Ordering::Relaxed);
        let left = self.work.0.planned.load(Ordering::Relaxed).saturating_sub(done);
        families.work_done.with_label_values(&labels).inc_by(done);
        let saved = if canceled { left } else { 0 };
        families.work_saved.with_label_values(&labels).inc_by(saved);
    }
}
