//! The target of scopes for a stream whose transport has none.

use std::sync::{Arc, OnceLock};

use super::inner::{StreamInner, WeakStream};
use crate::cancel::{Reason, Target};

/// Cancels a stream whose transport has no target of its own.
#[derive(Debug, Default)]
pub(crate) struct StreamTarget(OnceLock<WeakStream>);

impl StreamTarget {
    pub(crate) fn set(&self, inner: &Arc<StreamInner>) {
        // Set once, where the target is created.
        let _ = self.0.set(WeakStream::new(inner));
    }
}

impl Target for StreamTarget {
    fn cancel(&self, _: u64, reason: &Reason) {
        if let Some(stream) = self.0.get() {
            stream.cancel(reason);
        }
    }
}
