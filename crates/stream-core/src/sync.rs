//! Chooses between the system's locks and loom's. These locks ignore poisoning: the code under them does not
//! panic, and no user code runs under them.

#[cfg(loom)]
use loom::sync as imp;
#[cfg(not(loom))]
use std::sync as imp;
use std::sync::PoisonError;

#[cfg(not(loom))]
pub use imp::MutexGuard;
#[cfg(loom)]
pub use model::{MutexGuard, releases};

#[derive(Debug, Default)]
pub struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(loom)]
        let guard = MutexGuard::new(guard);
        guard
    }
}

/// Loom switches threads where a lock is taken. It must also be able to switch after a release, so a release
/// is made a step of its own.
#[cfg(loom)]
mod model {
    use std::ops::{Deref, DerefMut};

    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    loom::lazy_static! {
        static ref RELEASES: AtomicUsize = AtomicUsize::new(0);
    }

    /// Returns the number of locks released so far in this execution.
    pub fn releases() -> usize {
        RELEASES.load(Relaxed)
    }

    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<'a, T> MutexGuard<'a, T> {
        pub(super) fn new(guard: loom::sync::MutexGuard<'a, T>) -> Self {
            Self(Some(guard))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("held until it is dropped")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("held until it is dropped")
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            self.0 = None;
            RELEASES.fetch_add(1, Relaxed);
        }
    }
}
