//! What a client's stream belongs to, and holds until it is released.

use kerrors::Error;

use crate::cancel::{Label, Registration};

/// The parent of a client's stream, and the resources that the stream holds until it is released.
#[derive(Default)]
pub(crate) struct Parent {
    pub(crate) label: Option<Label>,
    /// The registration with the caller's scope.
    pub(crate) registration: Option<Registration>,
    /// Dropped after the stream is released.
    pub(crate) lease: Option<Lease>,
}

/// A value to be dropped after a stream is released, such as its lease of a pooled connection.
pub(crate) type Lease = Box<dyn Held>;

/// What a stream or call holds until it is released.
pub(crate) trait Held: Send + Sync {
    /// The stream or call has ended, with this error.
    fn ended(&self, _error: Option<&Error>) {}
}

impl Parent {
    pub(super) fn is_empty(&self) -> bool {
        self.label.is_none() && self.registration.is_none() && self.lease.is_none()
    }
}
