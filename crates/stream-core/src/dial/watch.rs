//! Instances that a task keeps current. Knows nothing of where they come from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    running: Arc<AtomicBool>,
    /// The last task that was begun.
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
        let (instances, running, task) = (SharedInstances::default(), Arc::default(), Mutex::default());
        Self(Arc::new(Watched { instances, watch, running, task }))
    }

    /// Begins the task, unless it runs. Outside of a runtime the next call begins it.
    fn begin(&self) {
        let Watched { instances, watch, running, task } = &*self.0;
        let Ok(runtime) = Handle::try_current() else { return };
        if running.swap(true, Ordering::AcqRel) {
            return;
        }
        let running = Running { running: running.clone(), instances: instances.clone(), has_ended: false };
        let watching = watch(instances.clone());
        let begun = runtime.spawn(async move {
            let mut running = running;
            watching.await;
            running.has_ended = true;
        });
        *task.lock() = Some(begun.abort_handle());
    }
}

/// A task that runs, or is to run.
struct Running {
    running: Arc<AtomicBool>,
    instances: SharedInstances,
    /// It has ended by itself: to begin it again is left to the next call.
    has_ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Release);
        // Its runtime has ended: calls of other runtimes wait, and begin another.
        if !self.has_ended && !std::thread::panicking() {
            self.instances.wake();
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
    use std::sync::atomic::AtomicUsize;
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

    #[test]
    fn watched_instances_of_a_runtime_that_ends_wake_a_call_that_waits_on_another() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        let tasks = Arc::new(AtomicUsize::new(0));
        let begun = tasks.clone();
        let source = WatchedInstances::new(move |instances| {
            let is_first = begun.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if !is_first {
                    instances.set(["10.0.0.1:80"]);
                }
                std::future::pending::<()>().await;
            }
        });
        first.block_on(async { assert_eq!(poll(&source), None) });
        let waits = source.clone();
        let waiting = std::thread::spawn(move || {
            runtime().block_on(std::future::poll_fn(move |cx| waits.poll_instances(cx, None)))
        });
        while source.0.instances.waiting() < 2 {
            std::thread::yield_now();
        }
        assert_eq!(tasks.load(Ordering::SeqCst), 1);
        drop(first);
        let set = waiting.join().unwrap();
        assert_eq!(&*set.instances()[0].address, "10.0.0.1:80");
    }
}
