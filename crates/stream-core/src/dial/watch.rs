//! Instances that a task keeps current. Knows nothing of where they come from.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::discover::{Discover, InstanceSet, SharedInstances};
use crate::BoxFuture;
use crate::sync::Mutex;

/// Instances that a task sets, for sources that ask or watch a registry, a name service or a file. The task begins with
/// the first call, and ends when the last clone is dropped. If its runtime has ended, or it has returned or panicked, the next
/// call begins another; the last instances stay meanwhile. Clones are the same source.
///
/// ```
/// use std::time::Duration;
///
/// use stream_core::client::WatchedInstances;
///
/// # async fn ask_registry() -> std::io::Result<Vec<String>> { Ok(Vec::new()) }
/// let source = WatchedInstances::new(|instances| async move {
///     loop {
///         match ask_registry().await {
///             Ok(addresses) => instances.set(addresses),
///             Err(error) => eprintln!("the last instances stay: {error}"),
///         }
///         tokio::time::sleep(Duration::from_secs(5)).await;
///     }
/// });
/// ```
#[derive(Clone)]
pub struct WatchedInstances(Arc<Watched>);

struct Watched {
    instances: SharedInstances,
    watch: Box<Watch>,
    /// The task, once there is a call.
    task: Mutex<Option<AbortHandle>>,
}

type Watch = dyn Fn(SharedInstances) -> BoxFuture<'static, ()> + Send + Sync;

impl WatchedInstances {
    /// Returns a source of the instances that the future of `watch` sets, which is run as a task.
    pub fn new<F>(watch: impl Fn(SharedInstances) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let watch: Box<Watch> = Box::new(move |instances| Box::pin(watch(instances)));
        Self(Arc::new(Watched { instances: SharedInstances::default(), watch, task: Mutex::default() }))
    }

    /// Begins the task, unless it runs. Outside of a runtime the next call begins it.
    fn begin(&self) {
        let Watched { instances, watch, task } = &*self.0;
        if task.lock().as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let begun = runtime.spawn(watch(instances.clone())).abort_handle();
            // Another call may have begun one meanwhile.
            let other = task.lock().replace(begun);
            other.into_iter().for_each(|other| other.abort());
        }
    }
}

impl Discover for WatchedInstances {
    fn poll_instances(&self, cx: &mut Context<'_>, seen: Option<u64>) -> Poll<InstanceSet> {
        self.begin();
        self.0.instances.poll_instances(cx, seen)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let task = self.task.lock().take();
        task.into_iter().for_each(|task| task.abort());
    }
}

impl fmt::Debug for WatchedInstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedInstances").field("instances", &self.0.instances).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use tokio::task::yield_now;

    use super::*;

    /// Returns a source, and how many tasks it has begun and ended.
    fn counted() -> (WatchedInstances, Arc<[AtomicUsize; 2]>) {
        struct Ended(Arc<[AtomicUsize; 2]>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0[1].fetch_add(1, Ordering::SeqCst);
            }
        }
        let counts = Arc::<[AtomicUsize; 2]>::default();
        let counted = counts.clone();
        let source = WatchedInstances::new(move |instances| {
            let begun = counted[0].fetch_add(1, Ordering::SeqCst);
            let ended = Ended(counted.clone());
            async move {
                instances.set([format!("10.0.0.{begun}:80")]);
                std::future::pending::<()>().await;
                drop(ended);
            }
        });
        (source, counts)
    }

    fn poll(source: &WatchedInstances) -> Option<String> {
        match source.poll_instances(&mut Context::from_waker(Waker::noop()), None) {
            Poll::Ready(set) => Some(set.instances()[0].address.to_string()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn watched_instances_have_one_task_which_begins_again_after_its_runtime_and_ends_with_the_last_clone() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (source, counts) = counted();
        let of = |at: usize| counts[at].load(Ordering::SeqCst);
        assert_eq!((poll(&source), of(0)), (None, 0), "there is no runtime");
        runtime().block_on(async {
            assert_eq!(poll(&source), None);
            yield_now().await;
            assert_eq!((poll(&source).as_deref(), poll(&source.clone()).as_deref()), {
                let first = Some("10.0.0.0:80");
                (first, first)
            });
        });
        assert_eq!((of(0), of(1)), (1, 1), "its runtime has ended");
        assert_eq!(poll(&source).as_deref(), Some("10.0.0.0:80"), "its last instances stay");
        runtime().block_on(async {
            let other = source.clone();
            poll(&source);
            yield_now().await;
            assert_eq!(poll(&source).as_deref(), Some("10.0.0.1:80"));
            drop(source);
            yield_now().await;
            assert_eq!((of(0), of(1)), (2, 1));
            drop(other);
            yield_now().await;
            assert_eq!((of(0), of(1)), (2, 2));
        });
    }
}
